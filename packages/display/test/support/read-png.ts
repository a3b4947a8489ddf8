import { inflateSync } from 'node:zlib'

/** The pixels of a PNG file of eight bits a sample, RGB or RGBA, as words 0x00RRGGBB. */
export function readPng(file: Buffer): {
  readonly width: number
  readonly height: number
  readonly pixels: Uint32Array
} {
  const data: Buffer[] = []
  let [width, height, channels] = [0, 0, 0]
  for (let at = 8; at < file.length;) {
    const length = file.readUInt32BE(at)
    const type = file.toString('latin1', at + 4, at + 8)
    const chunk = file.subarray(at + 8, at + 8 + length)
    if (type === 'IHDR') {
      width = chunk.readUInt32BE(0)
      height = chunk.readUInt32BE(4)
      channels = chunk[9] === 6 ? 4 : 3
      if (chunk[8] !== 8 || ![2, 6].includes(chunk[9]!) || chunk[12] !== 0) throw new Error('a PNG of another kind')
    } else if (type === 'IDAT') data.push(chunk)
    at += 12 + length
  }
  const bytes = inflateSync(Buffer.concat(data))
  const row = width * channels
  const lines = Buffer.alloc(height * row)
  for (let y = 0; y < height; y++) {
    const filter = bytes[y * (row + 1)]
    for (let i = 0; i < row; i++) {
      const left = i < channels ? 0 : lines[y * row + i - channels]!
      const above = y === 0 ? 0 : lines[(y - 1) * row + i]!
      const corner = y === 0 || i < channels ? 0 : lines[(y - 1) * row + i - channels]!
      const [a, b, c] = [above - corner, left - corner, left + above - 2 * corner].map(Math.abs) as [
        number,
        number,
        number,
      ]
      const paeth = a <= b && a <= c ? left : b <= c ? above : corner
      const predicted = [0, left, above, (left + above) >> 1, paeth][filter!]!
      lines[y * row + i] = bytes[y * (row + 1) + 1 + i]! + predicted
    }
  }
  const pixels = Uint32Array.from({ length: width * height }, (_, i) => lines.readUIntBE(i * channels, 3))
  return { width, height, pixels }
}
