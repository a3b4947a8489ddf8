/** The part of Node's modules that VNC authentication needs. Bun and Deno have it, pages of browsers do not. */
interface Crypto {
  createCipheriv(
    algorithm: 'des-ede3-cbc',
    key: Uint8Array,
    iv: Uint8Array,
  ): { setAutoPadding(on: boolean): { update(bytes: Uint8Array): Uint8Array } }
}

const { process } = globalThis as unknown as {
  readonly process?: { getBuiltinModule?(name: 'node:crypto'): Crypto | undefined }
}
const crypto = process?.getBuiltinModule?.('node:crypto')

/** Whether this host has DES. */
export const hasDes: boolean = crypto !== undefined

const BLOCK_BYTES = 8

/**
 * Enciphers whole blocks of eight bytes, each by itself, with a key of eight bytes. VNC authentication is made of it, and nothing
 * else should be. Three times the same key is a single encryption, and the first block of a chain stands by itself: this name of
 * it is the only one that Node, Bun and Deno share.
 */
export function encryptDes(key: Uint8Array, bytes: Uint8Array): Uint8Array {
  const threefold = Uint8Array.of(...key, ...key, ...key)
  const out = new Uint8Array(bytes.length)
  for (let at = 0; at < bytes.length; at += BLOCK_BYTES) {
    const cipher = crypto!.createCipheriv('des-ede3-cbc', threefold, new Uint8Array(BLOCK_BYTES)).setAutoPadding(false)
    out.set(cipher.update(bytes.subarray(at, at + BLOCK_BYTES)), at)
  }
  return out
}
