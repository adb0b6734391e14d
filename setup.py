"""Installs fairseq_ghat. README.md tells the order in which torch, fairseq and this package install."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="fairseq_ghat",
    version="0.1.0",
    description="Grouped attention heads, voting and real head removal for fairseq transformers",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.9,<3.13",
    packages=find_packages(include=["fairseq_ghat", "fairseq_ghat.*"]),
    install_requires=[
        "torch>=2.0",
        # Released fairseq 0.12.2 does not import on Python >= 3.11.
        "fairseq==0.12.2; python_version < '3.11'",
        "fairseq-fixed>=0.12.3.1; python_version >= '3.11'",
        "sacrebleu>=2.0",
        "sentencepiece",
        "tensorboardX",
        "fvcore",
    ],
    extras_require={
        "export": ["ctranslate2>=4.6"],
        "benchmarks": ["pyyaml", "rouge-score", "sacremoses", "subword-nmt"],
        "compare": ["matplotlib"],
        "test": [
            *("pytest", "pytest-xdist", "pyyaml", "rouge-score", "sacremoses", "subword-nmt", "ctranslate2>=4.6"),
            "matplotlib",
        ],
    },
    entry_points={
        "console_scripts": [
            "ghat-slim = fairseq_ghat.cli.slim:main",
            "ghat-vote = fairseq_ghat.cli.vote:main",
            "ghat-average = fairseq_ghat.cli.average:main",
            "ghat-score = fairseq_ghat.cli.score:main",
            "ghat-perplexity = fairseq_ghat.cli.perplexity:main",
            "ghat-stats = fairseq_ghat.cli.stats:main",
            "ghat-bench = fairseq_ghat.cli.bench:main",
            "ghat-export = fairseq_ghat.cli.export:main",
            "ghat-options = fairseq_ghat.cli.options:main",
        ]
    },
)
