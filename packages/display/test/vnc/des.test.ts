import { createCipheriv, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { encryptDes } from '../../src/vnc/des.ts'

test('enciphers as OpenSSL does', () => {
  for (let i = 0; i < 200; i++) {
    const [key, bytes] = [randomBytes(8), randomBytes(16)]
    // Three times the same key is a single encryption.
    const cipher = createCipheriv('des-ede3', Buffer.concat([key, key, key]), null).setAutoPadding(false)
    expect(Buffer.from(encryptDes(key, bytes)).toString('hex')).toBe(cipher.update(bytes, undefined, 'hex'))
  }
})
