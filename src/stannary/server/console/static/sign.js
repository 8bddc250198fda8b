// Signs an approval in the browser, as `stannary attest --key` does: a statement in a DSSE envelope. The key stays here.
"use strict";
(() => {
  const utf8 = new TextEncoder();
  const join = (...parts) => {
    const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    parts.reduce((at, part) => (all.set(part, at), at + part.length), 0);
    return all;
  };
  const base64 = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

  // DER, as far as PKCS #8 has it: [tag, content, children].
  const der = (bytes) => {
    const found = [];
    for (let at = 0; at < bytes.length; ) {
      const tag = bytes[at];
      let length = bytes[at + 1];
      at += 2;
      if (length > 127) {
        const digits = length & 127;
        length = bytes.slice(at, at + digits).reduce((sum, byte) => sum * 256 + byte, 0);
        at += digits;
      }
      const content = bytes.slice(at, at + length);
      found.push({ tag, content, children: tag & 32 ? der(content) : [] });
      at += length;
    }
    return found;
  };
  const HASHES = { "2a864886f70d0207": "SHA-1", "2a864886f70d0209": "SHA-256", "2a864886f70d020a": "SHA-384", "2a864886f70d020b": "SHA-512" };
  const CIPHERS = { "60864801650304012a": 256, "608648016503040116": 192, "608648016503040102": 128 };

  // PKCS #5 2.1, PBES2 with PBKDF2 and AES-CBC: what `stannary keys generate` and OpenSSL write.
  const decrypted = async (bytes, passphrase) => {
    const [{ children: [algorithm, sealed] }] = der(bytes);
    const [kdf, cipher] = algorithm.children[1].children;
    const size = CIPHERS[hex(cipher.children[0].content)];
    if (hex(kdf.children[0].content) !== "2a864886f70d01050c" || !size) throw new Error("sign");
    const [salt, count, ...rest] = kdf.children[1].children;
    const prf = rest.find((item) => item.tag === 48);
    const hash = prf ? HASHES[hex(prf.children[0].content)] : "SHA-1";
    const iterations = count.content.reduce((sum, byte) => sum * 256 + byte, 0);
    const secret = await crypto.subtle.importKey("raw", utf8.encode(passphrase), "PBKDF2", false, ["deriveKey"]);
    const derivation = { name: "PBKDF2", salt: salt.content, iterations, hash };
    const key = await crypto.subtle.deriveKey(derivation, secret, { name: "AES-CBC", length: size }, false, ["decrypt"]);
    const iv = cipher.children[1].content;
    return new Uint8Array(await crypto.subtle.decrypt({ name: "AES-CBC", iv }, key, sealed.content));
  };

  const KINDS = [
    { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
    { name: "ECDSA", namedCurve: "P-384", hash: "SHA-384" },
    { name: "ECDSA", namedCurve: "P-521", hash: "SHA-512" },
    { name: "Ed25519" },
  ];
  const opened = async (file, passphrase) => {
    const pem = /-----BEGIN (ENCRYPTED )?PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END/.exec(await file.text());
    if (!pem) throw new Error("This is no private key in PEM (PKCS #8).");
    let bytes = Uint8Array.from(atob(pem[2].replace(/\s/g, "")), (char) => char.charCodeAt(0));
    if (pem[1]) {
      if (!passphrase) throw new Error("The key has a passphrase.");
      try {
        bytes = await decrypted(bytes, passphrase);
      } catch (error) {
        if (error.message === "sign") throw new Error("The key is protected in a way that only the command line opens.");
        throw new Error("The passphrase is another one, or the file is damaged.");
      }
    }
    for (const kind of KINDS) {
      try {
        return { kind, key: await crypto.subtle.importKey("pkcs8", bytes, kind, true, ["sign"]) };
      } catch {
        // A key of another kind.
      }
    }
    throw new Error("The key is none of P-256, P-384, P-521 or Ed25519.");
  };

  const keyid = async ({ kind, key }) => {
    const { d, key_ops, ext, ...rest } = await crypto.subtle.exportKey("jwk", key);
    const shared = await crypto.subtle.importKey("jwk", rest, kind, true, ["verify"]);
    const spki = await crypto.subtle.exportKey("spki", shared);
    return hex(new Uint8Array(await crypto.subtle.digest("SHA-256", spki)));
  };

  // ECDSA comes as r and s side by side, and is written as DER.
  const number = (bytes) => {
    let from = 0;
    while (from < bytes.length - 1 && bytes[from] === 0) from += 1;
    const rest = bytes.slice(from);
    const padded = rest[0] > 127 ? join(Uint8Array.of(0), rest) : rest;
    return join(Uint8Array.of(2, padded.length), padded);
  };
  const signed = async ({ kind, key }, message) => {
    const raw = new Uint8Array(await crypto.subtle.sign(kind, key, message));
    if (kind.name !== "ECDSA") return raw;
    const both = join(number(raw.slice(0, raw.length / 2)), number(raw.slice(raw.length / 2)));
    return join(both.length > 127 ? Uint8Array.of(48, 129, both.length) : Uint8Array.of(48, both.length), both);
  };

  const envelope = async (statement, opening) => {
    const type = "application/vnd.in-toto+json";
    const payload = utf8.encode(JSON.stringify(statement));
    const message = join(utf8.encode(`DSSEv1 ${type.length} ${type} ${payload.length} `), payload);
    const signature = { sig: base64(await signed(opening, message)), keyid: await keyid(opening) };
    return JSON.stringify({ payload: base64(payload), payloadType: type, signatures: [signature] });
  };

  const loaded = Date.now();
  const prepare = (form) => {
    const area = form.querySelector("[data-sign]");
    const problem = area.querySelector(".problem");
    const value = (name) => area.querySelector(`[data-${name}]`).value.trim();
    const sign = async (decision) => {
      const file = area.querySelector("[data-key]").files[0];
      if (!value("said")) throw new Error("Say what you looked at.");
      if (!file) throw new Error("Choose the file of your key.");
      const statement = JSON.parse(form.dataset.statement);
      const now = new Date(Date.parse(form.dataset.now) + Date.now() - loaded);
      const days = Math.min(3650, Math.max(1, Number(value("days")) || 90));
      Object.assign(statement.predicate, {
        decision,
        statement: value("said"),
        finishedOn: now.toISOString(),
        expiresOn: new Date(now.getTime() + days * 86400000).toISOString(),
      });
      form.elements.envelope.value = await envelope(statement, await opened(file, value("pass")));
      form.requestSubmit();
    };
    for (const button of area.querySelectorAll("[data-decision]")) {
      button.addEventListener("click", () => {
        problem.hidden = true;
        sign(button.dataset.decision).catch((error) => {
          problem.textContent = error.message;
          problem.hidden = false;
        });
      });
    }
    area.hidden = false;
  };
  if (globalThis.crypto && crypto.subtle) document.querySelectorAll("form[data-statement]").forEach(prepare);
})();
