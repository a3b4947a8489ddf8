import { constants, inflateSync } from 'node:zlib'
import type { VncConnection, VncServer, VncTransport } from '../../src/index.ts'

/** A rectangle of an update, decoded: its pixels as the client's format has them. */
export interface ClientRectangle {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
  readonly encoding: number
  readonly pixels: readonly number[]
  readonly extra: Uint8Array
}

/** An RFB client, written from RFC 6143 apart from the server, that talks to a server in memory. */
export class VncClient implements VncTransport {
  readonly connection: VncConnection
  closed = false
  /** While true, nothing that the server sends is taken. */
  stalled = false
  /** Bytes that the server has handed over while the client is stalled, at most. */
  handed = 0
  width = 0
  height = 0
  name = ''
  #bytes: number[] = []
  #wake: () => void = () => {}
  #resume: () => void = () => {}
  #stream: number[] = []
  #inflated = 0
  /** The four zlib streams of Tight, and how much of each was read. */
  readonly #tightStreams = Array.from({ length: 4 }, () => ({ bytes: [] as number[], inflated: 0 }))
  /** Encodings of rectangles with pixels that have come, and the widest of these. */
  readonly encodings = new Set<number>()
  widest = 0
  /** Kinds of rectangles of Tight that have come. */
  readonly tightKinds = new Set<string>()
  bytesPerPixel = 4
  compactBytes = 3

  constructor(server: VncServer) {
    this.connection = server.connect(this)
  }

  write(bytes: Uint8Array): Promise<void> {
    this.handed += bytes.length
    this.#bytes.push(...bytes)
    this.#wake()
    if (!this.stalled) return Promise.resolve()
    return new Promise((resolve) => (this.#resume = resolve))
  }

  go(): void {
    this.stalled = false
    this.#resume()
  }

  close(): void {
    this.closed = true
    this.#wake()
  }

  send(...bytes: readonly number[]): void {
    this.connection.receive(Uint8Array.from(bytes))
  }

  async read(count: number): Promise<number[]> {
    while (this.#bytes.length < count) {
      if (this.closed) throw new Error(`closed: ${this.#bytes.length} bytes instead of ${count}`)
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
    return this.#bytes.splice(0, count)
  }

  async number(bytes: number): Promise<number> {
    return (await this.read(bytes)).reduce((value, byte) => value * 256 + byte, 0)
  }

  async text(bytes: number): Promise<string> {
    return String.fromCharCode(...(await this.read(bytes)))
  }

  /** What has come and was not read. */
  get unread(): number {
    return this.#bytes.length
  }

  /** From the version to the name, without a password. */
  async begin(encodings: readonly number[] = []): Promise<void> {
    await this.text(12)
    this.sendText('RFB 003.008\n')
    await this.read(2)
    this.send(1)
    await this.number(4)
    this.send(1)
    await this.readInit()
    this.setEncodings(...encodings)
  }

  async readInit(): Promise<void> {
    this.width = await this.number(2)
    this.height = await this.number(2)
    await this.read(16)
    this.name = await this.text(await this.number(4))
  }

  sendText(text: string): void {
    this.send(...Array.from(text, (character) => character.charCodeAt(0)))
  }

  setEncodings(...encodings: readonly number[]): void {
    const words = encodings.flatMap((e) => [(e >> 24) & 255, (e >> 16) & 255, (e >> 8) & 255, e & 255])
    this.send(2, 0, encodings.length >> 8, encodings.length & 255, ...words)
  }

  request(incremental: boolean, x = 0, y = 0, width = 0xffff, height = 0xffff): void {
    this.send(3, incremental ? 1 : 0, ...[x, y, width, height].flatMap((value) => [value >> 8, value & 255]))
  }

  async update(): Promise<ClientRectangle[]> {
    const type = await this.number(1)
    if (type !== 0) throw new Error(`message ${type} instead of an update`)
    await this.read(1)
    const count = await this.number(2)
    const rectangles: ClientRectangle[] = []
    for (let i = 0; i < count; i++) {
      rectangles.push(await this.#rectangle())
    }
    return rectangles
  }

  async #rectangle(): Promise<ClientRectangle> {
    const [x, y, width, height] = [
      await this.number(2),
      await this.number(2),
      await this.number(2),
      await this.number(2),
    ]
    const encoding = (await this.number(4)) | 0
    if (encoding >= 0) {
      this.encodings.add(encoding)
      this.widest = Math.max(this.widest, width)
    }
    let pixels: readonly number[] = []
    let extra = new Uint8Array(0)
    if (encoding === 0) pixels = this.#little(await this.read(width * height * this.bytesPerPixel), this.bytesPerPixel)
    else if (encoding === 16) pixels = this.#zrle(await this.read(await this.number(4)), width, height)
    else if (encoding === 7) pixels = await this.#tight(width, height)
    else if (encoding === -239) {
      pixels = this.#little(await this.read(width * height * this.bytesPerPixel), this.bytesPerPixel)
      extra = Uint8Array.from(await this.read(Math.ceil(width / 8) * height))
    } else if (encoding === -308) {
      const screens = await this.number(1)
      extra = Uint8Array.from(await this.read(3 + 16 * screens))
    }
    return { x, y, width, height, encoding, pixels, extra }
  }

  #little(bytes: readonly number[], size: number): number[] {
    return Array.from({ length: bytes.length / size }, (_, i) =>
      bytes.slice(i * size, (i + 1) * size).reduceRight((value, byte) => value * 256 + byte, 0),
    )
  }

  /** Pixels of 24 bits as red, green, blue; others as they are. */
  #tightPixels(bytes: readonly number[]): number[] {
    if (this.bytesPerPixel !== 4) return this.#little(bytes, this.bytesPerPixel)
    return Array.from({ length: bytes.length / 3 }, (_, i) =>
      bytes.slice(3 * i, 3 * i + 3).reduce((value, byte) => value * 256 + byte, 0),
    )
  }

  /** rfbproto, "Tight Encoding". */
  async #tight(width: number, height: number): Promise<number[]> {
    const size = this.bytesPerPixel === 4 ? 3 : this.bytesPerPixel
    const control = await this.number(1)
    for (const [i, stream] of this.#tightStreams.entries()) {
      if ((control >> i) & 1) Object.assign(stream, { bytes: [], inflated: 0 })
    }
    if (control >> 4 === 8) {
      this.tightKinds.add('fill')
      const [pixel = 0] = this.#tightPixels(await this.read(size))
      return Array.from({ length: width * height }, () => pixel)
    }
    if (control >> 7 === 1) throw new Error(`control ${control}: JPEG was not asked for`)
    const filter = control & 0x40 ? await this.number(1) : 0
    const stream = this.#tightStreams[(control >> 4) & 3]!
    if (filter === 0) {
      this.tightKinds.add('copy')
      return this.#tightPixels(await this.#tightData(stream, width * height * size))
    }
    if (filter !== 1) throw new Error(`filter ${filter}`)
    const colours = (await this.number(1)) + 1
    const palette = this.#tightPixels(await this.read(colours * size))
    this.tightKinds.add(colours === 2 ? 'two colours' : 'palette')
    if (colours !== 2) return (await this.#tightData(stream, width * height)).map((index) => palette[index]!)
    const row = Math.ceil(width / 8)
    const bits = await this.#tightData(stream, row * height)
    return Array.from({ length: width * height }, (_, i) => {
      const [x, y] = [i % width, Math.floor(i / width)]
      return palette[(bits[y * row + (x >> 3)]! >> (7 - (x & 7))) & 1]!
    })
  }

  async #tightData(stream: { bytes: number[]; inflated: number }, length: number): Promise<number[]> {
    if (length < 12) return await this.read(length)
    let compressed = 0
    for (let i = 0; i < 3; i++) {
      const byte = await this.number(1)
      compressed += (i === 2 ? byte : byte & 0x7f) << (7 * i)
      if (i === 2 || byte < 0x80) break
    }
    stream.bytes.push(...(await this.read(compressed)))
    const all = inflateSync(Uint8Array.from(stream.bytes), { finishFlush: constants.Z_SYNC_FLUSH })
    const data = [...all.subarray(stream.inflated)]
    stream.inflated = all.length
    if (data.length !== length) throw new Error(`${data.length} bytes instead of ${length}`)
    return data
  }

  /** RFC 6143, section 7.7.6; the zlib stream is inflated from its beginning each time. */
  #zrle(bytes: readonly number[], width: number, height: number): number[] {
    this.#stream.push(...bytes)
    const all = inflateSync(Uint8Array.from(this.#stream), { finishFlush: constants.Z_SYNC_FLUSH })
    const data = all.subarray(this.#inflated)
    this.#inflated = all.length
    let at = 0
    const byte = (): number => data[at++]!
    const pixel = (): number => {
      let value = 0
      for (let i = 0; i < this.compactBytes; i++) value += byte() * 256 ** i
      return value
    }
    const runLength = (): number => {
      let length = 1
      for (;;) {
        const more = byte()
        length += more
        if (more !== 255) return length
      }
    }
    const out: number[] = Array.from({ length: width * height })
    for (let top = 0; top < height; top += 64)
      for (let left = 0; left < width; left += 64) {
        const [w, h] = [Math.min(64, width - left), Math.min(64, height - top)]
        const tile: number[] = []
        const kind = byte()
        const palette = Array.from({ length: kind > 128 ? kind - 128 : kind < 17 ? kind : 0 }, pixel)
        if (kind === 1) tile.push(...Array.from({ length: w * h }, () => palette[0]!))
        else if (kind > 1 && kind < 17) {
          const bits = kind === 2 ? 1 : kind < 5 ? 2 : 4
          for (let row = 0; row < h; row++) {
            let value = 0
            for (let i = 0; i < w; i++) {
              if ((i * bits) % 8 === 0) value = byte()
              tile.push(palette[(value >> (8 - bits - ((i * bits) % 8))) & ((1 << bits) - 1)]!)
            }
          }
        } else {
          while (tile.length < w * h) {
            if (kind === 0) tile.push(pixel())
            else if (kind === 128) {
              const value = pixel()
              tile.push(...Array.from({ length: runLength() }, () => value))
            } else if (kind > 129) {
              const index = byte()
              const length = index < 128 ? 1 : runLength()
              tile.push(...Array.from({ length }, () => palette[index & 127]!))
            } else throw new Error(`subencoding ${kind}`)
          }
        }
        if (tile.length !== w * h) throw new Error(`a tile of ${tile.length} pixels instead of ${w * h}`)
        for (let i = 0; i < tile.length; i++) out[(top + Math.floor(i / w)) * width + left + (i % w)] = tile[i]!
      }
    if (at !== data.length) throw new Error(`${data.length - at} bytes behind the last tile`)
    return out
  }
}
