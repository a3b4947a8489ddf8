import { createCipheriv } from 'node:crypto'
import type { DisplayRectangle, InputEvent } from '@retrap/device'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Keyboard, Mouse, Screen, VncServer, type VncServerOptions } from '../../src/index.ts'
import { zlibCompressor } from '../../src/node/compressor.ts'
import { VncClient } from '../support/vnc-client.ts'

const ZRLE = 16
const TIGHT = 7
const CURSOR = -239

/** A screen that a test draws on, and a server of it. */
class Desk {
  readonly screen = new Screen({ intervalMs: 1 })
  readonly keyboard = new Keyboard()
  readonly mouse = new Mouse()
  readonly events: InputEvent[] = []
  readonly server: VncServer
  pixels = new Uint32Array(0)
  #changed: DisplayRectangle[] = []
  width = 0
  height = 0

  constructor(width: number, height: number, options: Partial<VncServerOptions> = {}) {
    this.screen.connect({ refresh: () => this.#report(true), update: () => this.#report(false) })
    this.resize(width, height)
    const note = { input: (events: readonly InputEvent[]) => this.events.push(...events) && events.length }
    this.keyboard.connect(note)
    this.mouse.connect(note)
    const { screen, keyboard, mouse } = this
    this.server = new VncServer({ screen, keyboard, mouse, createCompressor: zlibCompressor, ...options })
  }

  resize(width: number, height: number): void {
    this.width = width
    this.height = height
    this.pixels = new Uint32Array(width * height)
    this.screen.setMode({ width, height, stride: 4 * width, format: 'bgrx8888' })
    this.fill(0, 0, width, height, () => 0)
  }

  fill(x: number, y: number, width: number, height: number, colour: (x: number, y: number) => number): void {
    for (let row = y; row < y + height; row++)
      for (let column = x; column < x + width; column++) this.pixels[row * this.width + column] = colour(column, row)
    this.#changed.push({ x, y, width, height })
  }

  #report(all: boolean): void {
    const { width, height } = this
    this.screen.draw(
      new Uint8Array(this.pixels.buffer),
      all ? [{ x: 0, y: 0, width, height }] : this.#changed.splice(0),
    )
  }

  /** Reads updates into a picture until it equals the screen's. */
  async follow(client: VncClient, picture: Uint32Array): Promise<number> {
    for (let updates = 1; ; updates++) {
      for (const { x, y, width, pixels } of await client.update()) {
        for (const [i, pixel] of pixels.entries())
          picture[(y + Math.floor(i / width)) * client.width + x + (i % width)] = pixel
      }
      if (picture.every((pixel, i) => pixel === this.pixels[i])) return updates
      client.request(true)
    }
  }
}

const noise = (x: number, y: number): number => (Math.imul(x * 7919 + y * 104_729 + 1, 0x9e37_79b1) >>> 8) & 0xff_ffff
const pictures: readonly (readonly [name: string, colour: (x: number, y: number) => number])[] = [
  ['one colour', () => 0x12_3456],
  ['two colours', (x) => ((x >> 3) & 1 ? 0xff_ffff : 0)],
  ['four colours', (x, y) => [0, 0xff, 0xff00, 0xff_0000][(x + y) & 3]!],
  ['sixteen colours', (x, y) => 0x11_1111 * ((x ^ y) & 15)],
  ['a hundred colours in runs', (x, y) => ((x >> 4) + 10 * (y >> 3)) * 0x01_0203],
  ['many colours in long runs', (x, y) => noise(x >> 5, y)],
  ['two hundred colours', (x, y) => 0x01_0203 * ((x + 3 * y) % 200)],
  ['noise', noise],
]

describe.each([
  { encoding: 'raw', encodings: [0] },
  { encoding: 'ZRLE', encodings: [ZRLE, TIGHT, 0] },
  { encoding: 'Tight', encodings: [TIGHT, ZRLE, 0] },
])('the picture of a client with $encoding is the screen', ({ encodings }) => {
  // 150 × 70: tiles of 64 do not fit.
  test.each(pictures)('%s', async (_name, colour) => {
    const desk = new Desk(150, 70)
    desk.fill(0, 0, 150, 70, colour)
    const client = new VncClient(desk.server)
    await client.begin(encodings)
    expect([client.width, client.height, client.name]).toEqual([150, 70, 'retrap'])
    const picture = new Uint32Array(150 * 70)
    client.request(false)
    await desk.follow(client, picture)
    expect([...client.encodings]).toEqual([encodings[0]])
    // Then a part of it changes.
    desk.fill(60, 30, 20, 11, noise)
    client.request(true)
    await desk.follow(client, picture)
    client.connection.close()
  })
})

test('Tight has a kind of rectangle for each kind of picture, and no rectangle of more than 2048 columns', async () => {
  const [width, height] = [4500, 3]
  const desk = new Desk(width, height)
  const colour = (x: number, y: number): number => {
    if (x < 1000) return 0xff_0000
    if (x < 2000) return (x >> 2) & 1
    return x < 3000 ? (x * 77) & 0xf0 : noise(x, y)
  }
  desk.fill(0, 0, width, height, colour)
  const client = new VncClient(desk.server)
  await client.begin([TIGHT])
  client.request(false)
  await desk.follow(client, new Uint32Array(width * height))
  expect([...client.tightKinds].toSorted()).toEqual(['copy', 'fill', 'palette', 'two colours'])
  expect(client.widest).toBeLessThanOrEqual(2048)
  // Data of fewer than 12 bytes is not compressed.
  desk.fill(10, 0, 3, 1, (x) => x)
  desk.screen.refresh()
  client.request(false, 10, 0, 3, 1)
  const [small] = await client.update()
  expect(small).toMatchObject({ x: 10, width: 3, pixels: [10, 11, 12] })
})

describe('the cursor (RFC 6143, section 7.8.1)', () => {
  const begun = async (desk: Desk, encodings: readonly number[]): Promise<VncClient> => {
    const client = new VncClient(desk.server)
    await client.begin(encodings)
    client.request(true, 0, 0, 1, 1)
    return client
  }

  test('of a card that has none is a dot, so that the pointer is seen', async () => {
    const client = await begun(new Desk(8, 8), [CURSOR])
    const [rectangle] = await client.update()
    expect(rectangle).toMatchObject({ encoding: CURSOR, x: 2, y: 2, width: 5, height: 5 })
    const [white, black] = [0xff_ffff, 0]
    expect(rectangle!.pixels.slice(5, 10)).toEqual([white, black, black, black, white])
    expect([...rectangle!.extra]).toEqual([0xf8, 0xf8, 0xf8, 0xf8, 0xf8])
    // Then come pixels.
    client.request(true)
    expect((await client.update())[0]!.encoding).toBe(0)
  })

  test('of the card is shown as it is, and in the format of the client', async () => {
    const desk = new Desk(8, 8)
    const opaque = [0x10, 0x20, 0x30, 255]
    const pixels = Uint8Array.from([...opaque, 0, 0, 0, 0, ...Array.from({ length: 8 }, () => opaque).flat()])
    desk.screen.setCursor({ width: 10, height: 1, hotX: 9, hotY: 0, pixels })
    const client = await begun(desk, [CURSOR])
    const [rectangle] = await client.update()
    expect(rectangle).toMatchObject({ encoding: CURSOR, x: 9, y: 0, width: 10, height: 1 })
    expect(rectangle!.pixels[0]).toBe(0x30_2010)
    expect([...rectangle!.extra]).toEqual([0b1011_1111, 0b1100_0000])
    client.request(true)
    await client.update()
    // A changed cursor is sent although no pixel has changed. In place of a hidden cursor the dot is sent again.
    client.request(true)
    desk.screen.setCursor(null)
    expect((await client.update())[0]).toMatchObject({ encoding: CURSOR, width: 5 })
    client.connection.close()
  })

  test('is not told to a client that draws none', async () => {
    const client = await begun(new Desk(8, 8), [])
    expect((await client.update())[0]!.encoding).toBe(0)
  })

  test.each([
    { width: 0, height: 1, hotX: 0, hotY: 0, pixels: new Uint8Array(0) },
    { width: 1, height: 1, hotX: 1, hotY: 0, pixels: new Uint8Array(4) },
    { width: 2, height: 1, hotX: 0, hotY: 0, pixels: new Uint8Array(4) },
    { width: 513, height: 1, hotX: 0, hotY: 0, pixels: new Uint8Array(4 * 513) },
  ])('that makes no sense is refused: %o', (image) => {
    expect(() => new Screen().setCursor(image)).toThrow(expect.objectContaining({ code: 'ERR_INVALID' }))
  })
})

describe('pixel formats', () => {
  const setFormat = (client: VncClient, ...bytes: readonly number[]): void => client.send(0, 0, 0, 0, ...bytes, 0, 0, 0)
  test.each([
    { what: '16 bits, 5-6-5', format: [16, 16, 0, 1, 0, 31, 0, 63, 0, 31, 11, 5, 0], bytes: 2, pixel: 0xfc10 },
    { what: '8 bits, 3-3-2', format: [8, 8, 0, 1, 0, 7, 0, 7, 0, 3, 0, 3, 6], bytes: 1, pixel: 0xa7 },
    {
      what: '32 bits, red lowest',
      format: [32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 0, 8, 16],
      bytes: 4,
      pixel: 0x82_82ff,
    },
    {
      what: '32 bits, big-endian',
      format: [32, 24, 1, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0],
      bytes: 4,
      pixel: 0x8282_ff00,
    },
  ])('$what', async ({ format, bytes, pixel }) => {
    const desk = new Desk(3, 2)
    desk.fill(0, 0, 3, 2, () => 0xff_8282)
    for (const encodings of [[0], [ZRLE], [TIGHT]]) {
      const client = new VncClient(desk.server)
      await client.begin(encodings)
      setFormat(client, ...format)
      client.bytesPerPixel = bytes
      client.compactBytes = bytes === 4 ? 3 : bytes
      client.request(false)
      const [rectangle] = await client.update()
      // ZRLE leaves the byte out that has no colour in it.
      const expected = encodings[0] === ZRLE && format[2] === 1 ? pixel / 256 : pixel
      if (encodings[0] === TIGHT) {
        // Pixels of three bytes are red, green, blue in all formats.
        expect(rectangle!.pixels).toEqual(Array.from({ length: 6 }, () => (bytes === 4 ? 0xff_8282 : pixel)))
        continue
      }
      expect(rectangle!.pixels).toEqual(Array.from({ length: 6 }, () => expected))
    }
  })

  test('a client without true colour is given a colour map', async () => {
    const desk = new Desk(1, 1)
    desk.fill(0, 0, 1, 1, () => 0xff_0000)
    const client = new VncClient(desk.server)
    await client.begin()
    setFormat(client, 8, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    client.bytesPerPixel = 1
    client.request(false)
    expect(await client.read(6)).toEqual([1, 0, 0, 0, 1, 0])
    const map = await client.read(6 * 256)
    const [{ pixels } = { pixels: [0] }] = await client.update()
    expect(map.slice(6 * pixels[0]!, 6 * pixels[0]! + 6)).toEqual([255, 255, 0, 0, 0, 0])
  })

  test('one that cannot be ends the connection', async () => {
    const client = new VncClient(new Desk(1, 1).server)
    await client.begin()
    setFormat(client, 24, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0)
    expect(client.closed).toBe(true)
  })
})

test('text that a client has cut is passed over (RFC 6143, section 7.5.6)', async () => {
  const client = new VncClient(new Desk(8, 8).server)
  await client.begin()
  client.send(6, 0, 0, 0, 0, 0, 0, 5, ...Buffer.from('hello'))
  client.request(false)
  expect(await client.update()).toHaveLength(1)
  expect(client.closed).toBe(false)
})

describe('who may connect (RFC 6143, section 7.2.2)', () => {
  const respond = async (client: VncClient, password: string): Promise<void> => {
    expect(await client.text(12)).toBe('RFB 003.008\n')
    client.sendText('RFB 003.008\n')
    expect(await client.read(2)).toEqual([1, 2])
    client.send(2)
    const challenge = Uint8Array.from(await client.read(16))
    const reversed = [...password.padEnd(8, '\0')].map((character) =>
      parseInt([...character.charCodeAt(0).toString(2).padStart(8, '0')].toReversed().join(''), 2),
    )
    const key = Buffer.from([...reversed, ...reversed, ...reversed])
    client.send(...createCipheriv('des-ede3', key, null).setAutoPadding(false).update(challenge))
  }

  test('the password lets in', async () => {
    const client = new VncClient(new Desk(4, 4, { password: 'Secret' }).server)
    await respond(client, 'Secret')
    expect(await client.number(4)).toBe(0)
    client.send(1)
    await client.readInit()
    expect(client.width).toBe(4)
  })

  test('another one does not', async () => {
    const desk = new Desk(4, 4, { password: 'Secret' })
    const client = new VncClient(desk.server)
    await respond(client, 'secret')
    expect(await client.number(4)).toBe(1)
    expect(await client.text(await client.number(4))).toBe('wrong password')
    expect([client.closed, desk.server.clients]).toEqual([true, 0])
  })

  test('an old client is let in as well', async () => {
    const client = new VncClient(new Desk(4, 4).server)
    await client.text(12)
    client.sendText('RFB 003.003\n')
    expect(await client.number(4)).toBe(1)
    client.send(0)
    await client.readInit()
    expect(client.height).toBe(4)
  })

  test('there is a limit to their number', async () => {
    const desk = new Desk(4, 4, { maximumClients: 2 })
    const clients = [1, 2].map(() => new VncClient(desk.server))
    await Promise.all(clients.map((client) => client.begin()))
    expect(new VncClient(desk.server).closed).toBe(true)
    expect(clients.map(({ closed }) => closed)).toEqual([false, false])
    clients[0]!.connection.close()
    expect(new VncClient(desk.server).closed).toBe(false)
  })

  test('strangers who say nothing keep nobody out', async () => {
    const desk = new Desk(4, 4, { password: 'Secret' })
    const inside = new VncClient(desk.server)
    await respond(inside, 'Secret')
    expect(await inside.number(4)).toBe(0)
    inside.send(1)
    await inside.readInit()
    const strangers = Array.from({ length: 8 }, () => new VncClient(desk.server))
    const owner = new VncClient(desk.server)
    await respond(owner, 'Secret')
    expect(await owner.number(4)).toBe(0)
    owner.send(1)
    await owner.readInit()
    // The two that were there for longest made room; who is inside stays.
    expect(strangers.map(({ closed }) => closed)).toEqual([true, true, ...Array.from({ length: 6 }, () => false)])
    expect([inside.closed, owner.closed, desk.server.clients]).toEqual([false, false, 8])
  })

  test('a password that cannot be is refused', () => {
    expect(() => new Desk(4, 4, { password: 'ninechars' })).toThrow('password of 9 characters: expected 1 to 8')
  })
})

describe('keys and pointer', () => {
  const key = (down: number, keysym: number): number[] => [
    4,
    down,
    0,
    0,
    ...[24, 16, 8, 0].map((by) => (keysym >> by) & 255),
  ]
  const begun = async (...encodings: readonly number[]): Promise<{ desk: Desk; client: VncClient }> => {
    const desk = new Desk(101, 51)
    const client = new VncClient(desk.server)
    await client.begin(encodings)
    return { desk, client }
  }
  const keys = (desk: Desk): string =>
    desk.events
      .map((event) => (event.kind === 'key' ? `${event.down ? '+' : '-'}${event.usage.toString(16)}` : '?'))
      .join(' ')

  test.each([
    { what: 'a letter', keysym: 0x61, usage: '4' },
    { what: 'a sign with Shift', keysym: 0x21, usage: '1e' },
    { what: 'Return', keysym: 0xff0d, usage: '28' },
    { what: 'F12', keysym: 0xffc9, usage: '45' },
    { what: 'Alt', keysym: 0xffe9, usage: 'e2' },
    { what: 'AltGr', keysym: 0xfe03, usage: 'e6' },
    { what: 'keypad 5', keysym: 0xffb5, usage: '5d' },
    { what: 'Unicode', keysym: 0x100_0041, usage: '4' },
  ])('$what', async ({ keysym, usage }) => {
    const { desk, client } = await begun()
    client.send(...key(1, keysym), ...key(1, keysym), ...key(0, keysym))
    expect(keys(desk)).toBe(`+${usage} -${usage}`)
  })

  test('keys by their place, where the client has said that it can', async () => {
    const { desk, client } = await begun(-258)
    client.request(false)
    expect((await client.update()).map(({ encoding }) => encoding)).toEqual([-258])
    // Right Control is E0 1D; the keysym says another key.
    client.send(255, 0, 0, 1, 0, 0, 0, 0x61, 0, 0, 0, 0x9d)
    client.send(255, 0, 0, 0, 0, 0, 0, 0x61, 0, 0, 0, 0x9d)
    expect(keys(desk)).toBe('+e4 -e4')
  })

  test('what a client holds is released when it goes', async () => {
    const { desk, client } = await begun()
    client.send(...key(1, 0xffe1), 5, 1, 0, 1, 0, 1)
    client.connection.close()
    expect(desk.events).toEqual([
      { kind: 'key', usage: 0xe1, down: true },
      { kind: 'button', button: 1, down: true },
      { kind: 'key', usage: 0xe1, down: false },
      { kind: 'button', button: 1, down: false },
    ])
  })

  test('places become movements for a mouse, and places for a tablet', async () => {
    const { desk, client } = await begun()
    client.send(5, 0, 0, 10, 0, 10, 5, 0, 0, 13, 0, 8)
    desk.mouse.setPointer('absolute')
    client.send(5, 0, 0, 100, 0, 25)
    expect(desk.events).toEqual([
      { kind: 'relative', dx: 3, dy: -2 },
      { kind: 'absolute', x: 32_767, y: 16_384 },
    ])
  })

  test('movements are told where client and guest both have them', async () => {
    const { desk, client } = await begun(-257)
    desk.mouse.setPointer('relative')
    client.request(true)
    expect((await client.update()).map(({ encoding, x }) => [encoding, x])).toEqual([[-257, 0]])
    client.send(5, 0, 0x80, 0x04, 0x7f, 0xfd)
    expect(desk.events).toEqual([{ kind: 'relative', dx: 5, dy: -2 }])
  })

  test('buttons and wheel', async () => {
    const { desk, client } = await begun()
    for (const mask of [4, 0, 8, 0, 0x10, 0]) client.send(5, mask, 0, 0, 0, 0)
    expect(desk.events).toEqual([
      { kind: 'button', button: 2, down: true },
      { kind: 'button', button: 2, down: false },
      { kind: 'wheel', vertical: 1, horizontal: 0 },
      { kind: 'wheel', vertical: -1, horizontal: 0 },
    ])
  })

  test('a guest that takes nothing keeps a few, and no button is lost', async () => {
    const { desk, client } = await begun()
    let open = false
    const taken: InputEvent[] = []
    const slow = { input: (events: readonly InputEvent[]) => (open ? taken.push(...events) && events.length : 0) }
    desk.keyboard.connect(slow)
    desk.mouse.connect(slow)
    for (let i = 0; i < 5000; i++) client.send(...key(1, 0x61), ...key(0, 0x61), 5, i & 1, 0, i % 100, 0, 0)
    expect(desk.keyboard.waiting).toBeLessThan(300)
    expect(desk.mouse.waiting).toBeLessThan(300)
    open = true
    desk.keyboard.ready()
    desk.mouse.ready()
    client.send(5, 0, 0, 50, 0, 0)
    const down = taken.filter((event) => event.kind === 'button').map((event) => event.down)
    expect(down.at(-1)).toBe(false)
  })
})

test('what has changed outside of the part that a client asks for is sent when it asks for that', async () => {
  const desk = new Desk(10, 8)
  desk.fill(0, 0, 10, 8, noise)
  const client = new VncClient(desk.server)
  await client.begin([0])
  const seen = new Uint32Array(80)
  for (const [x, y, width, height] of [
    [3, 2, 4, 3],
    [0, 0, 10, 8],
  ] as const) {
    client.request(true, x, y, width, height)
    for (const area of await client.update()) {
      for (let i = 0; i < area.pixels.length; i++) {
        const at = (area.y + Math.floor(i / area.width)) * 10 + area.x + (i % area.width)
        // Each pixel comes once.
        expect(seen[at]).toBe(0)
        seen[at] = area.pixels[i]!
      }
    }
  }
  expect(seen).toEqual(desk.pixels)
  client.connection.close()
})

describe('the screen’s size', () => {
  test('is known from the first message on, although nobody has looked at the picture before', async () => {
    const screen = new Screen()
    const refresh = (): void => {
      screen.setMode({ width: 2, height: 3, stride: 8, format: 'bgrx8888' })
      screen.draw(new Uint8Array(24), [{ x: 0, y: 0, width: 2, height: 3 }])
    }
    screen.connect({ refresh, update: () => {} })
    const client = new VncClient(new VncServer({ screen, keyboard: new Keyboard(), mouse: new Mouse() }))
    await client.begin([-223])
    expect([client.width, client.height]).toEqual([2, 3])
    client.request(false)
    expect((await client.update()).map(({ encoding }) => encoding)).toEqual([0])
    client.connection.close()
  })

  test.each([
    { what: 'by desktop size', encoding: -223, extra: [] },
    {
      what: 'by extended desktop size',
      encoding: -308,
      extra: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 90, 0, 40, 0, 0, 0, 0],
    },
  ])('is told $what', async ({ encoding, extra }) => {
    const desk = new Desk(60, 30)
    const client = new VncClient(desk.server)
    await client.begin([encoding])
    client.request(false)
    if (encoding === -308) {
      await client.update()
      client.request(false)
    }
    await client.update()
    desk.resize(90, 40)
    client.request(true)
    const [size] = await client.update()
    expect([size?.encoding, size?.width, size?.height]).toEqual([encoding, 90, 40])
    expect([...size!.extra]).toEqual(extra)
    client.width = 90
    client.height = 40
    client.request(true)
    const picture = new Uint32Array(90 * 40).fill(1)
    await desk.follow(client, picture)
  })

  test('of a client that cannot change stays, with black around', async () => {
    const desk = new Desk(8, 8)
    desk.fill(0, 0, 8, 8, () => 0xff_ffff)
    const client = new VncClient(desk.server)
    await client.begin([0])
    client.request(false)
    await client.update()
    desk.resize(4, 4)
    desk.fill(0, 0, 4, 4, () => 0xff)
    client.request(true)
    const [{ width, pixels } = { width: 0, pixels: [] }] = await client.update()
    expect([width, pixels[0], pixels[7], pixels.at(-1)]).toEqual([8, 0xff, 0, 0])
  })

  test('is not for clients to choose', async () => {
    const client = new VncClient(new Desk(8, 8).server)
    await client.begin([-308])
    client.request(true)
    await client.update()
    client.send(251, 0, 0, 100, 0, 100, 1, 0, ...Array.from({ length: 16 }, () => 0))
    client.request(true)
    const [size] = await client.update()
    expect([size?.encoding, size?.x, size?.y, size?.width]).toEqual([-308, 1, 1, 8])
  })
})

test('a client that reads nothing is sent one rectangle, then all that has changed', async () => {
  const desk = new Desk(200, 200)
  const client = new VncClient(desk.server)
  await client.begin([0])
  client.stalled = true
  client.handed = 0
  client.request(false)
  for (let frame = 0; frame < 200; frame++) {
    desk.fill(frame, 0, 1, 200, () => frame + 1)
    client.request(true)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  expect(client.handed).toBeLessThan(100)
  client.go()
  const picture = new Uint32Array(200 * 200)
  expect(await desk.follow(client, picture)).toBeLessThan(5)
})

test('whatever a client sends, its own connection ends and nothing else', async () => {
  const desk = new Desk(40, 20)
  const other = new VncClient(desk.server)
  await other.begin([ZRLE])
  const message = fc.oneof(
    fc.uint8Array({ maxLength: 60 }),
    fc
      .tuple(fc.constantFrom(0, 2, 3, 4, 5, 6, 251, 255), fc.uint8Array({ maxLength: 40 }))
      .map(([type, rest]) => Uint8Array.from([type, ...rest])),
  )
  await fc.assert(
    fc.asyncProperty(fc.boolean(), fc.array(message, { maxLength: 30 }), async (greets, messages) => {
      const client = new VncClient(desk.server)
      if (greets) await client.begin([0, ZRLE])
      for (const bytes of messages) client.connection.receive(bytes)
      await Promise.resolve()
      client.connection.close()
      expect(client.closed).toBe(true)
    }),
    { numRuns: 300 },
  )
  expect(desk.server.clients).toBe(1)
  other.request(false)
  await desk.follow(other, new Uint32Array(800).fill(1))
})
