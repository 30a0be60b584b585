"""Schemas of what other projects read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

_COMPOSE: Final = "github.com/compose-spec/compose-go/v2@v2.16.2"
_COMPOSE_SUM: Final = "h1:pTp1DqQwJzFd85GzlWsSszKA1ABrV/ySqsClujIcWA8="
_OPERATOR: Final = Path(__file__).parent / "operator_types" / "schemas.json"


def compose_schema() -> dict[str, Any]:
    """Give the JSON schema of the compose specification; OSError where it can't be had.

    It is read out of the Go module that reads compose files (half a megabyte, Apache License 2.0), which is
    fetched where it is not there yet, and not built.
    """
    go = shutil.which("go", path=f"{os.environ['PATH']}:/usr/local/go/bin")
    if go is None:
        raise FileNotFoundError("Go is needed to fetch it")
    command = [go, "mod", "download", "-json", _COMPOSE]
    # The sum is held against the one above: no other word on it is needed.
    environment = os.environ | {"GONOSUMDB": "*", "GOFLAGS": ""}
    result = subprocess.run(
        command, cwd="/", env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    if result.returncode:
        raise OSError(f"{' '.join(command)}: {result.stderr or result.stdout}")
    module = json.loads(result.stdout)
    assert module["Sum"] == _COMPOSE_SUM
    return dict(json.loads((Path(module["Dir"]) / "schema" / "compose-spec.json").read_text()))


def operator_schema(kind: str) -> dict[str, Any]:
    """Give the JSON schema of a resource of the Prometheus operator's, as operator_types/main.go wrote it.

    It takes no field that the operator does not know, where the API server would drop it without a word.
    """
    return {"$ref": f"#/definitions/{kind}", **json.loads(_OPERATOR.read_text())}
