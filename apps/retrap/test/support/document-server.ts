/**
 * A server of the device protocol, written by `PROTOCOL.md` alone: nothing of ours is imported. Run as a program it serves the
 * descriptor that it is given.
 */
import { createServer, type Server, Socket } from 'node:net'
import { pathToFileURL } from 'node:url'

/** A frame: its kind, and its fields in order. */
export interface Frame {
  readonly kind: number
  readonly fields: readonly (number | bigint | string | Uint8Array)[]
}

/** How a server is wrong. */
export interface Quirks {
  /** In place of a frame that it sends. */
  out?(frame: Frame, send: (frame: Frame) => void, server: Session): void
  /** In place of what it does at a frame. */
  take?(frame: Taken, next: (frame: Taken) => void, server: Session): void
  /** In place of an encoded frame. */
  bytes?(bytes: Buffer): Buffer
  /** In place of the bytes that come. */
  chunk?(chunk: Buffer, next: (chunk: Buffer) => void): void
  /** In place of the end, at a frame that is broken. */
  broken?(stream: Socket): void
  /** At another connection of a session that it knows. */
  again?(server: Session): boolean
}

/** A frame of the machine's: its kind, and its integers and bytes in order. */
export interface Taken {
  readonly kind: number
  readonly numbers: readonly bigint[]
  readonly bytes: Buffer
}

/** Kinds by their names, and of the machine's the fields: `n` an integer of 53 bits, `w` one of 64, `b` bytes. */
const TAKES: Readonly<Record<number, string>> = {
  1: '',
  2: 'nnwnw',
  3: 'nnnnnw',
  4: 'nnnnwnw',
  5: 'n',
  6: 'nnww',
  7: 'nnw',
  8: 'nnw',
  9: 'nnw',
  10: 'nn',
  11: 'nnbw',
  12: 'nnn',
  13: 'nnw',
  14: 'nnb',
  15: 'b',
}
export const KIND = {
  ...{ ack: 1, hello: 2, read: 3, write: 4, cancel: 5, timer: 6, reset: 7, plug: 8, unplug: 9, save: 10, restore: 11 },
  ...{
    quiesce: 12,
    resume: 13,
    dmaDone: 14,
    bye: 15,
    welcome: 32,
    device: 33,
    range: 34,
    function: 35,
    bar: 36,
    msi: 37,
  },
  ...{ memory: 40, line: 42, ready: 43, answer: 44, done: 45, interrupt: 47, setLine: 48, armTimer: 49, dmaRead: 50 },
  ...{ dmaWrite: 51, memoryRead: 52, memoryWrite: 53, log: 57 },
} as const
const UNCOUNTED: readonly number[] = [KIND.ack, KIND.hello, KIND.welcome, KIND.bye]
const NONE = Buffer.alloc(0)

function encode({ kind, fields }: Frame, seen: number): Buffer {
  const parts = [Buffer.alloc(8)]
  for (const field of fields) {
    const word = Buffer.alloc(8)
    parts.push(word)
    if (typeof field === 'number' || typeof field === 'bigint') {
      word.writeBigUInt64LE(BigInt(field))
      continue
    }
    const bytes = Buffer.from(field)
    word.writeBigUInt64LE(BigInt(bytes.length))
    parts.push(bytes, Buffer.alloc((8 - (bytes.length % 8)) % 8))
  }
  const frame = Buffer.concat(parts)
  frame.writeUInt32LE(frame.length, 0)
  frame.writeUInt16LE(kind, 4)
  frame.writeUInt16LE(seen & 0xffff, 6)
  return frame
}

/** @returns null for a frame that does not keep to the form */
function decode(frame: Buffer): Taken | null {
  const kind = frame.readUInt16LE(4)
  const form = TAKES[kind]
  if (form === undefined) return null
  const numbers: bigint[] = []
  let bytes: Buffer = NONE
  let at = 8
  for (const field of form) {
    if (at + 8 > frame.length) return null
    const word = frame.readBigUInt64LE(at)
    at += 8
    if (field !== 'w' && word >= 2n ** 53n) return null
    if (field !== 'b') numbers.push(word)
    else {
      if (word > BigInt(frame.length - at)) return null
      bytes = frame.subarray(at, at + Number(word))
      const end = at + Math.ceil(Number(word) / 8) * 8
      if (frame.subarray(at + Number(word), end).some((byte) => byte !== 0)) return null
      at = end
    }
  }
  return at === frame.length ? { kind, numbers, bytes } : null
}

const COPY = 1
const THERMOMETER = 2
const OFFERED = 3

/** One session: what the devices hold, and the frames that the machine may lack. */
export class Session {
  readonly quirks: Quirks
  stream: Socket | null = null
  received = 0
  sent = 0
  unacked: Buffer[] = []
  sinceSent = 0
  open = true
  /** By device. */
  registers = new Map<number, bigint[]>()
  #dma = 0
  #dmaDone = new Map<bigint, (ok: boolean, bytes: Buffer) => void>()

  constructor(quirks: Quirks) {
    this.quirks = quirks
    for (const device of [COPY, THERMOMETER, OFFERED]) this.powerOn(device)
  }

  /** Registers, and a deadline or 0. */
  powerOn(device: number): void {
    this.registers.set(device, [0n, 0n, 0n, 0n, 0n])
  }

  arm(deadline: bigint): void {
    this.registers.get(THERMOMETER)![4] = deadline
    this.send(KIND.armTimer, 7, THERMOMETER, deadline)
  }

  send(kind: number, ...fields: Frame['fields']): void {
    const frame = { kind, fields }
    if (this.quirks.out === undefined) this.transmit(frame)
    else this.quirks.out(frame, (each) => this.transmit(each), this)
  }

  transmit(frame: Frame): void {
    let bytes = encode(frame, this.received)
    bytes = this.quirks.bytes?.(bytes) ?? bytes
    if (!UNCOUNTED.includes(frame.kind)) {
      this.sent++
      this.unacked.push(bytes)
    }
    this.sinceSent = 0
    this.stream?.write(bytes)
  }

  acknowledge(seen: number): void {
    const first = this.sent - this.unacked.length
    this.unacked.splice(0, (seen - first) & 0xffff)
  }

  declare(): void {
    this.send(KIND.device, COPY, 0, 'dma-copy')
    this.send(KIND.memory, 1, COPY, 4096, 1, 'rom')
    this.send(KIND.function, 1, COPY, 256, 0x1af4, 0x10f0, 1, 0xff_0000, 0, 0, 1, 0, '')
    this.send(KIND.bar, 1, 1, 0, 1, 4096, 8, 0, 0, 0)
    this.send(KIND.bar, 2, 1, 1, 1, 4096, 0, 0, 0, 1)
    this.send(KIND.msi, 1, 1, 0)
    this.send(KIND.device, THERMOMETER, 0, 'thermometer')
    this.send(KIND.range, 3, THERMOMETER, 0, 0x300, 16, 0, 0, 0)
    this.send(KIND.range, 4, THERMOMETER, 1, 0xfed9_0000, 64, 4, 4, 1)
    this.send(KIND.line, 1, THERMOMETER, 5)
    this.send(KIND.device, OFFERED, 2, 'spare')
    this.send(KIND.function, 2, OFFERED, 256, 0x1af4, 0x10f1, 1, 0xff_0000, 0, 0, 0, 0, '')
    this.send(KIND.bar, 5, 2, 0, 0, 32, 0, 0, 0, 0)
    this.send(KIND.ready)
  }

  take(frame: Taken, seen: number): void {
    this.acknowledge(seen)
    if (!UNCOUNTED.includes(frame.kind)) this.received++
    if (this.quirks.take === undefined) this.act(frame)
    else this.quirks.take(frame, (each) => this.act(each), this)
    if (!UNCOUNTED.includes(frame.kind) && ++this.sinceSent >= 64) this.send(KIND.ack)
  }

  act({ kind, numbers, bytes }: Taken): void {
    const [call = 0n, first = 0n] = numbers
    const device = Number(first)
    const done = (result: Uint8Array = NONE): void => this.send(KIND.done, call, '', result)
    switch (kind) {
      case KIND.read: {
        const registers = this.registers.get(ownerOf(device)) ?? []
        this.send(KIND.answer, call, registers[(Number(numbers[2]) >> 3) & 3] ?? 0n)
        return
      }
      case KIND.write:
        void this.write(call, device, Number(numbers[2]), numbers[4]!)
        return
      case KIND.timer:
        this.send(KIND.setLine, 1, 1)
        this.arm(numbers[3]! + 1000n)
        return done()
      case KIND.reset:
      case KIND.plug:
        if (device === THERMOMETER) this.send(KIND.setLine, 1, 0)
        this.powerOn(device)
        return done()
      case KIND.save:
        return done(Buffer.from(new BigUint64Array([1n, ...this.registers.get(device)!]).buffer))
      case KIND.restore: {
        if (bytes.length !== 48 || bytes.readBigUInt64LE(0) !== 1n)
          return this.send(KIND.done, call, 'a state of another version', NONE)
        this.registers.set(
          device,
          [1, 2, 3, 4, 5].map((at) => bytes.readBigUInt64LE(8 * at)),
        )
        if (bytes.readBigUInt64LE(40) !== 0n) this.arm(bytes.readBigUInt64LE(40))
        return done()
      }
      case KIND.dmaDone:
        this.#dmaDone.get(call)?.(numbers[1] === 1n, bytes)
        this.#dmaDone.delete(call)
        return
      case KIND.unplug:
      case KIND.quiesce:
      case KIND.resume:
        return done()
    }
  }

  async write(call: bigint, region: number, offset: number, value: bigint): Promise<void> {
    const device = ownerOf(region)
    const registers = this.registers.get(device)!
    registers[(offset >> 3) & 3] = value
    if (device === COPY && offset >> 3 === 3 && value !== 0n) await this.copy(registers)
    if (device === THERMOMETER && call !== 0n) this.arm(2_000_000_000n)
    if (call !== 0n) this.send(KIND.answer, call, 0)
  }

  async copy(registers: bigint[]): Promise<void> {
    const [from = 0n, to = 0n, length = 0n] = registers
    const moved = await this.dma(KIND.dmaRead, COPY, from, length)
    const written = moved !== null && (await this.dma(KIND.dmaWrite, COPY, to, moved)) !== null
    registers[3] = written ? 2n : 3n
    await this.dma(KIND.memoryWrite, 1, 8, Buffer.from('copied'))
    this.send(KIND.interrupt, 1, 0, 1)
    this.send(KIND.interrupt, 1, 0, 0)
  }

  dma(kind: number, ...fields: Frame['fields']): Promise<Buffer | null> {
    const call = ++this.#dma
    this.send(kind, call, ...fields)
    return new Promise((resolve) =>
      this.#dmaDone.set(BigInt(call), (ok, bytes) => resolve(ok ? Buffer.from(bytes) : null)),
    )
  }
}

const ownerOf = (region: number): number => (region <= 2 ? COPY : region <= 4 ? THERMOMETER : OFFERED)

/** Serves a connection. @param sessions - those that the server knows */
export function serve(stream: Socket, quirks: Quirks, sessions: Map<bigint, Session>): void {
  let session: Session | null = null
  let rest: Buffer = NONE
  const end = (): void => {
    if (quirks.broken === undefined) stream.end()
    else quirks.broken(stream)
  }
  const hello = (frame: Taken): void => {
    const [version, , id = 0n, received = 0n] = frame.numbers
    if (version !== 5n) {
      stream.write(encode({ kind: KIND.bye, fields: ['version 5 is spoken here'] }, 0))
      return void stream.end()
    }
    const known = sessions.get(id)
    const goesOn = known !== undefined && (quirks.again?.(known) ?? true)
    session = goesOn ? known : new Session(quirks)
    sessions.set(id, session)
    session.stream?.destroy()
    session.stream = stream
    if (goesOn) session.acknowledge(Number(received & 0xffffn))
    session.send(KIND.welcome, 5, 1, goesOn ? id : 0, session.received, 'by the document')
    if (goesOn)
      for (const bytes of session.unacked) {
        bytes.writeUInt16LE(session.received & 0xffff, 6)
        stream.write(bytes)
      }
    else session.declare()
  }
  const data = (chunk: Buffer): void => {
    rest = Buffer.concat([rest, chunk])
    while (rest.length >= 8) {
      const length = rest.readUInt32LE(0)
      if (length < 8 || length % 8 !== 0 || length > 1 << 20) return end()
      if (rest.length < length) return
      const bytes = rest.subarray(0, length)
      rest = rest.subarray(length)
      const frame = decode(bytes)
      if (frame === null || (frame.kind === KIND.hello) !== (session === null)) return end()
      if (frame.kind === KIND.bye) return void stream.end()
      if (session === null) hello(frame)
      else session.take(frame, bytes.readUInt16LE(6))
    }
  }
  stream.on('data', (chunk: Buffer) => (quirks.chunk === undefined ? data(chunk) : quirks.chunk(chunk, data)))
  stream.on('error', () => {})
}

/** Listens at a Unix socket. */
export function listen(path: string, quirks: Quirks = {}): Promise<Server> {
  const sessions = new Map<bigint, Session>()
  const server = createServer((stream) => serve(stream, quirks, sessions))
  return new Promise((resolve) => server.listen(path, () => resolve(server)))
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const crash = process.argv[2] === 'crash'
  const quirks: Quirks = crash ? { broken: () => process.abort() } : {}
  const stream = new Socket({ fd: Number(process.env['RETRAP_DEVICE_FD']), readable: true, writable: true })
  serve(stream, quirks, new Map())
}
