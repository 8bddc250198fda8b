// sigstore-js at bundles of ours: node sigstore_js.js TRUSTED_ROOT.json IDENTITY ISSUER FILE_OR_EMPTY BUNDLE...
// Prints a JSON object: bundle → "ok", or why not.
const fs = require("fs");
const { bundleFromJSON } = require("@sigstore/bundle");
const { TrustedRoot } = require("@sigstore/protobuf-specs");
const { toSignedEntity, toTrustMaterial, Verifier } = require("@sigstore/verify");

const [root, identity, issuer, file, ...bundles] = process.argv.slice(2);
const verifier = new Verifier(toTrustMaterial(TrustedRoot.fromJSON(JSON.parse(fs.readFileSync(root)))));
const wanted = { subjectAlternativeName: identity, extensions: { issuer } };
const content = file ? fs.readFileSync(file) : undefined;

function outcome(path) {
  try {
    const bundle = bundleFromJSON(JSON.parse(fs.readFileSync(path)));
    verifier.verify(toSignedEntity(bundle, content), wanted);
  } catch (error) {
    return `${error.code}: ${error.message}`;
  }
  return "ok";
}

console.log(JSON.stringify(Object.fromEntries(bundles.map((path) => [path, outcome(path)]))));
