import { createHash, createPublicKey, verify } from 'node:crypto'
import { DebianError } from './errors.ts'
import type { ArchiveKey } from './keys.ts'

const BEGIN_TEXT = '-----BEGIN PGP SIGNED MESSAGE-----\n'
const BEGIN_SIGNATURE = '\n-----BEGIN PGP SIGNATURE-----\n'
const END_SIGNATURE = '-----END PGP SIGNATURE-----'

/** RFC 4880, 4.3, "Packet Tags". */
const SIGNATURE_PACKET = 2
/** RFC 4880, 5.2.1, "Signature Types": the signature covers a text whose lines end with CR and LF. */
const TEXT_SIGNATURE = 1
/** RFC 4880, 9.1 and RFC 9580, 9.1, "Public-Key Algorithms". */
const RSA = 1
const EDDSA_LEGACY = 22
/** RFC 4880, 9.4, "Hash Algorithms". Weaker ones are refused. */
const HASHES: Readonly<Record<number, string>> = { 8: 'sha256', 9: 'sha384', 10: 'sha512' }
/** RFC 4880, 5.2.3.1, "Signature Subpacket Specification". */
const CREATION_TIME = 2
const ISSUER = 16
const ISSUER_FINGERPRINT = 33
const CRITICAL = 0x80

/** A signature packet of version 4. */
interface Signature {
  readonly algorithm: number
  /** Absent: a hash that is too weak, or unknown. */
  readonly hash: string | undefined
  /** Identifier of the signing key, 16 hexadecimal digits. */
  readonly issuer: string
  readonly made: Date
  /** The part of the packet that the signature covers. */
  readonly covered: Uint8Array
  /** The numbers that form the signature. */
  readonly numbers: readonly Uint8Array[]
}

/**
 * Verifies a clear-signed document.
 *
 * Source: RFC 4880, 7, "Cleartext Signature Framework", and 5.2, "Signature Packet".
 *
 * @param name - name of the document, for messages
 * @returns the text signed by a key of `keys`, without the surrounding armor
 * @throws DebianError `ERR_FETCH` where no key of `keys` has signed the text
 */
export function verifyClearSigned(document: string, keys: readonly ArchiveKey[], name: string): string {
  const refused = (reason: string): DebianError => new DebianError('ERR_FETCH', `${name} is refused: ${reason}`)
  const end = document.indexOf(BEGIN_SIGNATURE)
  const textFrom = document.indexOf('\n\n')
  if (!document.startsWith(BEGIN_TEXT) || textFrom < 0 || end < textFrom)
    throw refused('it is no document with an OpenPGP signature')
  const text = document
    .slice(textFrom + 2, end)
    .split('\n')
    .map((line) => line.replace(/^- /, '').replace(/[ \t\r]+$/, ''))
  let signatures: Signature[]
  try {
    signatures = readSignatures(unarmour(document.slice(end + BEGIN_SIGNATURE.length)))
  } catch {
    throw refused('its OpenPGP signature is damaged')
  }
  const signed = Buffer.from(text.join('\r\n'))
  const known = signatures.flatMap((signature) => {
    const key = keys.find(({ id }) => id === signature.issuer)
    return key === undefined ? [] : [{ signature, key }]
  })
  if (known.length === 0) {
    const issuers = signatures.map(({ issuer }) => issuer).join(', ')
    throw refused(`it is signed by ${issuers || 'nobody'}; expected ${keys.map(({ id }) => id).join(' or ')}`)
  }
  if (!known.some(({ signature, key }) => isGood(signature, key, signed)))
    throw refused('its signature is not that of its text, or the key has expired')
  return text.join('\n')
}

function isGood(
  { algorithm, hash, made, covered, numbers }: Signature,
  { key, expires }: ArchiveKey,
  text: Buffer,
): boolean {
  if (hash === undefined || made > expires) return false
  const length = Buffer.alloc(4)
  length.writeUInt32BE(covered.length)
  const input = Buffer.concat([text, covered, Buffer.from([4, 0xff]), length])
  const publicKey = createPublicKey({ format: 'jwk', key })
  const [first = new Uint8Array(), second = new Uint8Array()] = numbers
  if (algorithm === RSA && publicKey.asymmetricKeyType === 'rsa')
    return verify(hash, input, publicKey, padded(first, Buffer.from(key.n ?? '', 'base64url').length))
  if (algorithm === EDDSA_LEGACY && publicKey.asymmetricKeyType === 'ed25519') {
    // The key signs the hash itself (RFC 9580, 5.2.3.3, "Algorithm-Specific Fields for EdDSALegacy Signatures").
    const digest = createHash(hash).update(input).digest()
    return verify(null, digest, publicKey, Buffer.concat([padded(first, 32), padded(second, 32)]))
  }
  return false
}

/** A number with the zeros in front that OpenPGP leaves out. */
function padded(number: Uint8Array, length: number): Buffer {
  return Buffer.concat([Buffer.alloc(Math.max(0, length - number.length)), number])
}

/** The bytes of an ASCII armour, from the line after its header line. Its checksum is optional, and not looked at. */
function unarmour(armour: string): Buffer {
  const body = armour.slice(armour.startsWith('\n') ? 1 : armour.indexOf('\n\n') + 2, armour.indexOf(END_SIGNATURE))
  return Buffer.from(body.replace(/\n=[^\n]{4}\n$/, ''), 'base64')
}

function readSignatures(bytes: Buffer): Signature[] {
  const signatures: Signature[] = []
  for (let at = 0; at < bytes.length;) {
    const { tag, from, length } = readPacket(bytes, at)
    const body = bytes.subarray(from, from + length)
    if (body.length < length) throw new RangeError('a packet is cut short')
    // Signatures of another version or kind come from unknown programs, and are skipped.
    if (tag === SIGNATURE_PACKET && body[0] === 4 && body[1] === TEXT_SIGNATURE) signatures.push(readSignature(body))
    at = from + length
  }
  return signatures
}

/** RFC 4880, 4.2, "Packet Headers". */
function readPacket(
  bytes: Buffer,
  at: number,
): { readonly tag: number; readonly from: number; readonly length: number } {
  const first = bytes[at]!
  if ((first & 0x40) !== 0) return { tag: first & 0x3f, ...readLength(bytes, at + 1) }
  const size = 1 << (first & 3)
  if ((first & 0x80) === 0 || size > 4) throw new RangeError('no packet with a length begins here')
  return { tag: (first >> 2) & 15, from: at + 1 + size, length: bytes.readUIntBE(at + 1, size) }
}

/** RFC 4880, 4.2.2, "New Format Packet Lengths". */
function readLength(bytes: Buffer, at: number): { readonly from: number; readonly length: number } {
  const first = bytes.readUInt8(at)
  if (first < 192) return { from: at + 1, length: first }
  if (first === 255) return { from: at + 5, length: bytes.readUInt32BE(at + 1) }
  return { from: at + 2, length: ((first - 192) << 8) + bytes.readUInt8(at + 1) + 192 }
}

/** RFC 4880, 5.2.3, "Version 4 Signature Packet Format". */
function readSignature(body: Buffer): Signature {
  const coveredEnd = 6 + body.readUInt16BE(4)
  const unsignedEnd = coveredEnd + 2 + body.readUInt16BE(coveredEnd)
  const fields = new Map<number, Buffer>()
  for (const [from, end] of [
    [coveredEnd + 2, unsignedEnd],
    [6, coveredEnd],
  ] as const) {
    for (let at = from; at < end;) {
      const subpacket = readLength(body, at)
      fields.set(
        body.readUInt8(subpacket.from) & ~CRITICAL,
        body.subarray(subpacket.from + 1, subpacket.from + subpacket.length),
      )
      at = subpacket.from + subpacket.length
    }
  }
  const numbers: Buffer[] = []
  // The numbers begin behind the two octets by which a reader may tell early that a hash is wrong.
  for (let at = unsignedEnd + 2; at < body.length;) {
    const end = at + 2 + Math.ceil(body.readUInt16BE(at) / 8)
    numbers.push(body.subarray(at + 2, end))
    at = end
  }
  const issuer = fields.get(ISSUER) ?? fields.get(ISSUER_FINGERPRINT)?.subarray(-8)
  return {
    algorithm: body.readUInt8(2),
    hash: HASHES[body.readUInt8(3)],
    issuer: issuer?.toString('hex').toUpperCase() ?? '',
    made: new Date((fields.get(CREATION_TIME)?.readUInt32BE() ?? 0) * 1000),
    covered: body.subarray(0, coveredEnd),
    numbers,
  }
}
