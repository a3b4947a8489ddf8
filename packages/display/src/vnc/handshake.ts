import { ByteWriter } from './byte-writer.ts'
import { encryptDes } from './des.ts'
import * as rfb from './protocol.ts'

/** The server's announcements to a client, and its questions, before the client sees anything. */
export interface HandshakeSettings {
  /** The desktop's name. */
  readonly name: string
  /** Undefined: no authentication. */
  readonly password: string | undefined
  /** Fills an array with random bytes. */
  readonly random: (bytes: Uint8Array) => void
}

const KEY_BYTES = 8

/**
 * Agrees on a version and lets the client in.
 *
 * @returns false where the client is not let in
 *
 * Source: RFC 6143, section 7.1, "Handshake Messages", and appendix A for older versions.
 */
export function* handshake(
  settings: HandshakeSettings,
  send: (bytes: Uint8Array) => void,
): Generator<number, boolean, Uint8Array> {
  send(Uint8Array.from(rfb.VERSION, (character) => character.charCodeAt(0)))
  const version = /^RFB 003\.(\d{3})\n$/.exec(String.fromCharCode(...(yield rfb.VERSION.length)))
  if (version === null) return false
  const minor = Number(version[1])
  const type = settings.password === undefined ? rfb.SECURITY_NONE : rfb.SECURITY_VNC
  if (minor < 7) send(new ByteWriter().u32(type).take())
  else {
    send(Uint8Array.of(1, type))
    if ((yield 1)[0] !== type) return false
  }
  if (settings.password !== undefined) {
    const challenge = new Uint8Array(rfb.CHALLENGE_BYTES)
    settings.random(challenge)
    send(challenge)
    const response = yield rfb.CHALLENGE_BYTES
    if (!equal(response, encryptDes(keyOf(settings.password), challenge))) {
      const refusal = new ByteWriter().u32(1)
      if (minor >= 8) refusal.text('wrong password')
      send(refusal.take())
      return false
    }
  }
  if (settings.password !== undefined || minor >= 8) send(new ByteWriter().u32(0).take())
  // The shared flag, which is ignored: other clients stay connected.
  yield 1
  return true
}

/** Eight characters of the password; the bits of each stand in the opposite order. */
function keyOf(password: string): Uint8Array {
  const key = new Uint8Array(KEY_BYTES)
  for (let i = 0; i < KEY_BYTES; i++) {
    const code = password.charCodeAt(i) || 0
    for (let bit = 0; bit < 8; bit++) key[i]! |= ((code >> bit) & 1) << (7 - bit)
  }
  return key
}

/** Compares in constant time. */
function equal(a: Uint8Array, b: Uint8Array): boolean {
  let differences = 0
  for (let i = 0; i < b.length; i++) differences |= a[i]! ^ b[i]!
  return differences === 0
}
