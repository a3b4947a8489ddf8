import { OciError } from './errors.ts'

/** The part of Web Cryptography used here, which browsers and Node share. */
interface Crypto {
  readonly crypto: { readonly subtle: { digest(name: string, bytes: Uint8Array): Promise<ArrayBuffer> } }
}

/** The algorithms of digests, and their hex digits. Source: OCI Image Format Specification, descriptor.md, "Digests". */
const ALGORITHMS: Readonly<Record<string, { readonly name: string; readonly digits: number }>> = {
  sha256: { name: 'SHA-256', digits: 64 },
  sha512: { name: 'SHA-512', digits: 128 },
}

/** A parsed digest. */
export interface Digest {
  /** `sha256` or `sha512`. */
  readonly algorithm: string
  /** The digest's digits, in lower case. */
  readonly hex: string
}

/** Reads a digest such as `sha256:…`. @throws OciError `ERR_UNSUPPORTED`, `ERR_DAMAGED` */
export function parseDigest(text: string, subject: string): Digest {
  const at = text.indexOf(':')
  const [algorithm, hex] = [text.slice(0, Math.max(at, 0)), text.slice(at + 1)]
  const known = Object.hasOwn(ALGORITHMS, algorithm) ? ALGORITHMS[algorithm] : undefined
  if (known === undefined)
    throw new OciError('ERR_UNSUPPORTED', subject, `the digest '${text}' is not of sha256 or sha512`)
  if (hex.length !== known.digits || !/^[0-9a-f]+$/.test(hex))
    throw new OciError('ERR_DAMAGED', subject, `the digest '${text}' has not ${known.digits} hex digits`)
  return { algorithm, hex }
}

/** A digest as text. */
export const digestText = ({ algorithm, hex }: Digest): string => `${algorithm}:${hex}`

/** Compares bytes with their digest. @throws OciError `ERR_DIGEST` */
export async function checkDigest(bytes: Uint8Array, { algorithm, hex }: Digest, subject: string): Promise<void> {
  const { subtle } = (globalThis as unknown as Crypto).crypto
  const digest = new Uint8Array(await subtle.digest(ALGORITHMS[algorithm]!.name, bytes))
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('')
  if (found !== hex) throw wrongDigest(subject, hex, found)
}

/** Makes the error for content that does not match its digest. */
export const wrongDigest = (subject: string, wanted: string, found: string): OciError =>
  new OciError(
    'ERR_DIGEST',
    subject,
    `its digest is ${found}, and ${wanted} is expected: it is damaged, or another file`,
  )
