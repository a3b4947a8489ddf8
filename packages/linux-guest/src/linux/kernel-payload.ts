/** The kernel inside a compressed image. */
import * as zlib from 'node:zlib'

/** Source: Linux, Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header". */
const SETUP_SECTORS = 0x1f1
const PAYLOAD_OFFSET = 0x248
const PAYLOAD_LENGTH = 0x24c

/** Source: "The .xz File Format", version 1.1: a stream whose blocks have a CRC-32, with a block of x86 code by LZMA2. */
const XZ_OF_CODE = Buffer.from('fd377a585a0000016922de36020104002101', 'hex')
const XZ_HEAD_BYTES = 24
const XZ_DICTIONARY = 18
/** The beginning of a stream without checks, and of a block with LZMA2 alone. */
const XZ_PLAIN = Buffer.from('fd377a585a000000ff12d941', 'hex')
const XZ_FOOTER_BYTES = 12
const CRC_BYTES = 4
const MOST_BYTES = 2 ** 29

/**
 * Decompresses the kernel in a bzImage, or a kernel that is compressed as a whole.
 *
 * @returns undefined for compressions other than gzip, zstd and xz with x86 code, and for damaged data
 */
export async function kernelPayload({ buffer, byteOffset, length }: Uint8Array): Promise<Buffer | undefined> {
  const image = Buffer.from(buffer, byteOffset, length)
  const isBzImage = image.toString('latin1', 0x202, 0x206) === 'HdrS'
  const from = isBzImage ? ((image[SETUP_SECTORS]! || 4) + 1) * 512 + image.readUInt32LE(PAYLOAD_OFFSET) : 0
  const end = isBzImage ? from + image.readUInt32LE(PAYLOAD_LENGTH) - 4 : image.length
  const payload = image.subarray(from, end)
  try {
    if (payload[0] === 0x1f && payload[1] === 0x8b) return zlib.gunzipSync(payload)
    // Node before 22.15 has no zstd.
    const { zstdDecompressSync }: Partial<typeof zlib> = zlib
    if (payload[0] === 0x28 && payload[1] === 0xb5) return zstdDecompressSync?.(payload)
    // The kernel's own size stands behind the compressed data.
    const size = isBzImage ? image.readUInt32LE(end) : Infinity
    if (size < MOST_BYTES && XZ_OF_CODE.equals(payload.subarray(0, XZ_OF_CODE.length)))
      return await codeOfXz(payload, size)
  } catch {
    // The image is used as it is: its own decompressor reports the damage.
  }
  return undefined
}

/** The library supports only the LZMA2 filter: it gets a stream without the x86 filter, which is undone here. */
async function codeOfXz(stream: Buffer, size: number): Promise<Buffer | undefined> {
  const block = Buffer.from([2, 0, 0x21, 1, stream[XZ_DICTIONARY]!, 0, 0, 0, 0, 0, 0, 0])
  block.writeUInt32LE(zlib.crc32(block.subarray(0, -CRC_BYTES)), block.length - CRC_BYTES)
  const index = stream.length - XZ_FOOTER_BYTES - 4 * (stream.readUInt32LE(stream.length - 8) + 1)
  const data = stream.subarray(XZ_HEAD_BYTES, index - CRC_BYTES)
  const { default: xz } = await import('xz-decompress')
  const code = Buffer.alloc(size)
  let at = 0
  for await (const piece of new xz.XzReadableStream(new Blob([XZ_PLAIN, block, data]).stream())) {
    code.set(piece, at)
    at += piece.length
    // The stream has no end of its own.
    if (at === size) break
  }
  absoluteToRelative(code)
  return zlib.crc32(code) === stream.readUInt32LE(index - CRC_BYTES) ? code : undefined
}

/** Allowed opcodes by the bits of `doubt`: whether an opcode may stand here, and which byte of its target decides. */
const MAY_STAND = [true, true, true, false, true, false, false, false]
const TELLING = [0, 1, 2, 2, 3, 3, 3, 3]
const isSign = (byte: number): boolean => byte === 0 || byte === 0xff

/**
 * Undoes the filter for x86: the targets of CALL and JMP are relative again. An opcode that is near another one, as `doubt` notes, may
 * be a part of its target.
 *
 * Source: XZ Utils, the filter that "The .xz File Format" gives the ID 4 ("x86").
 */
function absoluteToRelative(code: Buffer): void {
  let [last, doubt] = [-1, 0]
  for (let at = 0; at < code.length - 4; at++) {
    if ((code[at]! & 0xfe) !== 0xe8) continue
    const distance = at - last
    last = at
    doubt = distance > 3 ? 0 : (doubt << (distance - 1)) & 7
    const isDoubtful = doubt !== 0 && (!MAY_STAND[doubt]! || isSign(code[at + 4 - TELLING[doubt]!]!))
    if (isDoubtful || !isSign(code[at + 4]!)) {
      doubt = (doubt << 1) | 1
      continue
    }
    let target = code.readInt32LE(at + 1)
    for (;;) {
      target = (target - at - 5) | 0
      const bits = TELLING[doubt]! * 8
      if (doubt === 0 || !isSign((target >>> (24 - bits)) & 0xff)) break
      target ^= 2 ** (32 - bits) - 1
    }
    code.writeInt32LE((target << 7) >> 7, at + 1)
    at += 4
  }
}
