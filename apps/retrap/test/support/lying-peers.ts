// Both ends of a device socket as they should not be: what a peer does is drawn before it begins, and then played.
import { createConnection, createServer, type Server, type Socket } from 'node:net'
import { setImmediate, setTimeout } from 'node:timers/promises'
import { decodeFrame, MAX_FRAME_BYTES, type Frame } from '@retrap/ioreq/host'
import type { Rng } from '@retrap/tooling/soak'
import { anyFrame, frameBytes, introduction } from './lying-frames.ts'

const PACKET = { open: 1, accept: 2, refuse: 3, data: 4, ack: 5 } as const
const HEADER_BYTES = 9

function packet(kind: number, word: number, bytes: Uint8Array, length = 5 + bytes.length): Uint8Array {
  const out = Buffer.alloc(HEADER_BYTES + bytes.length)
  out.writeUInt32LE(length >>> 0, 0)
  out[4] = kind
  out.writeUInt32LE(word >>> 0, 5)
  out.set(bytes, HEADER_BYTES)
  return out
}

/** One act of a peer. */
type Act =
  | { readonly what: 'send'; readonly bytes: Uint8Array; readonly times: number }
  /** A packet that is wrong: its number, its length, its bytes, or where it ends. */
  | { readonly what: 'misnumber'; readonly bytes: Uint8Array; readonly by: number }
  | { readonly what: 'raw'; readonly bytes: Uint8Array }
  | { readonly what: 'cut'; readonly bytes: Uint8Array; readonly keep: number; readonly goesOn: boolean }
  | { readonly what: 'dribble'; readonly bytes: Uint8Array }
  | { readonly what: 'swap'; readonly first: Uint8Array; readonly second: Uint8Array }
  | { readonly what: 'ack'; readonly ahead: number }
  | { readonly what: 'pause' | 'resume' | 'end' | 'destroy' }
  | { readonly what: 'connect'; readonly resumes: boolean; readonly received: number; readonly keeps: boolean }
  | { readonly what: 'wait'; readonly ms: number }

/** What a device process does with a request that it gets. */
const REACTIONS = [
  'answer',
  'answer',
  'answer',
  'answer twice',
  'answer another',
  'answer for another vCPU',
  'fault',
  'answer late',
  'nothing',
  'disconnect',
] as const
/** What it does with a call: settle, save, quiesce, restore, drop. */
const REPLIES = ['reply', 'reply', 'reply', 'reply twice', 'reply to another', 'nonsense', 'error', 'nothing'] as const

/** How a connection begins. */
const OPENINGS = [
  'good',
  'wrong token',
  'no token',
  'no name',
  'no JSON',
  'too long',
  'resumes what there is not',
  'nothing',
  'half a packet',
  'noise',
  'a frame first',
] as const
type Opening = (typeof OPENINGS)[number]

/** How a hypervisor answers the opening of a device process. */
const WELCOMES = [
  'accept',
  'accept',
  'accept',
  'accept',
  'accept too much',
  'refuse',
  'nothing',
  'noise',
  'cut',
] as const

/** All that a peer will do. */
export interface Plan {
  readonly opening: Opening
  readonly welcome: (typeof WELCOMES)[number]
  readonly acts: readonly Act[]
  readonly reactions: readonly (typeof REACTIONS)[number][]
  readonly replies: readonly (typeof REPLIES)[number][]
  readonly acknowledges: boolean
}

/** Draws all that a peer will do. @param truthful - it begins as a device process should, so that its lies are heard */
export function drawPlan(rng: Rng, side: 'event' | 'command', truthful: boolean): Plan {
  const acts: Act[] = []
  // A liar that is found out at once is not heard to the end.
  const truth = rng.pick([8, 30, 200, 0])
  if (truthful)
    for (const frame of introduction(`liar ${rng.below(1000)}`))
      acts.push({ what: 'send', bytes: frameBytes(frame), times: 1 })
  const lies = (): boolean => truth > 0 && rng.chance(3, truth)
  const count = rng.between(1, 40)
  for (let i = 0; i < count; i++) acts.push(drawAct(rng, side, truth))
  return {
    opening: truthful || rng.chance(1, 4) ? 'good' : rng.pick(OPENINGS),
    welcome: rng.pick(WELCOMES),
    acts,
    reactions: Array.from({ length: rng.between(1, 6) }, () => (lies() ? rng.pick(REACTIONS) : 'answer')),
    replies: Array.from({ length: rng.between(1, 4) }, () => (lies() ? rng.pick(REPLIES) : 'reply')),
    acknowledges: !rng.chance(1, 6),
  }
}

function drawAct(rng: Rng, side: 'event' | 'command', truth: number): Act {
  const bytes = frameBytes(anyFrame(rng, side, truth))
  if (truth === 0 || !rng.chance(3, truth)) return { what: 'send', bytes, times: rng.chance(1, 40) ? 300 : 1 }
  switch (rng.below(11)) {
    case 0:
      return { what: 'wait', ms: rng.below(8) }
    case 1:
      return { what: 'misnumber', bytes, by: rng.pick([0, -1, 2, 0x7fff_ffff, 0x8000_0000, 77]) }
    case 2:
      return { what: 'raw', bytes: rng.chance() ? rng.bytes(rng.below(64)) : badPacket(rng, bytes) }
    case 3:
      return { what: 'cut', bytes, keep: rng.below(HEADER_BYTES + bytes.length), goesOn: rng.chance() }
    case 4:
      return { what: 'dribble', bytes: bytes.subarray(0, 300) }
    case 5:
      return { what: 'swap', first: bytes, second: frameBytes(anyFrame(rng, side, truth)) }
    case 6:
      return { what: 'ack', ahead: rng.pick([0, -1, 1, 1000, 0x8000_0000]) }
    case 7:
      return { what: rng.chance() ? 'pause' : 'resume' }
    case 8:
      return { what: rng.chance() ? 'end' : 'destroy' }
    case 9: {
      // The frame itself is wrong: a bit, its kind, or its end.
      const copy = Uint8Array.from(bytes)
      const at = rng.below(Math.min(copy.length, 32))
      copy[at] = (copy[at] ?? 0) ^ (1 << rng.below(8))
      return { what: 'send', bytes: rng.chance() ? copy : bytes.subarray(0, rng.below(bytes.length + 1)), times: 1 }
    }
    default:
      return { what: 'connect', resumes: rng.chance(3, 4), received: rng.pick([0, 1, 5, 1000]), keeps: rng.chance() }
  }
}

function badPacket(rng: Rng, bytes: Uint8Array): Uint8Array {
  const kind = rng.chance() ? rng.pick([1, 2, 3, 5]) : rng.below(256)
  const length = rng.pick([
    5 + bytes.length,
    0,
    4,
    5,
    6,
    MAX_FRAME_BYTES,
    MAX_FRAME_BYTES + 5,
    MAX_FRAME_BYTES + 10,
    -1,
  ])
  return packet(kind, rng.below(100), bytes, length)
}

/** A plan in a few words. */
export function describePlan({ opening, acts, reactions, replies, acknowledges }: Plan): string {
  const list = acts.map((act) => {
    if (act.what === 'send') return `${frameName(act.bytes)}${act.times > 1 ? ` × ${act.times}` : ''}`
    return 'bytes' in act ? `${act.what} ${frameName(act.bytes)}` : JSON.stringify(act)
  })
  const more = `${reactions.join('/')}; ${replies.join('/')}${acknowledges ? '' : '; never acknowledges'}`
  return `opens: ${opening}; ${more}\n    ${list.join('\n    ')}`
}

function frameName(bytes: Uint8Array): string {
  try {
    return JSON.stringify(decodeFrame(bytes), (_key, value: unknown) =>
      value instanceof Uint8Array ? `${value.length} bytes` : typeof value === 'number' ? String(value) : value,
    ).slice(0, 200)
  } catch {
    return `${bytes.length} bytes ${Buffer.from(bytes.subarray(0, 16)).toString('hex')}`
  }
}

/** What both sides have in common: a socket, numbers of packets, and a plan. */
class Player {
  protected readonly plan: Plan
  protected socket?: Socket
  protected sent = 0
  protected received = 0
  protected isStopped = false
  #rest = Buffer.alloc(0)

  constructor(plan: Plan) {
    this.plan = plan
  }

  protected use(socket: Socket): void {
    this.socket = socket
    this.#rest = Buffer.alloc(0)
    socket.on('error', () => undefined)
    socket.on('data', (bytes) => this.#push(bytes))
  }

  #push(bytes: Uint8Array): void {
    this.#rest = Buffer.concat([this.#rest, bytes])
    while (this.#rest.length >= 4 && this.#rest.length >= 4 + this.#rest.readUInt32LE(0)) {
      const end = 4 + this.#rest.readUInt32LE(0)
      const [kind, word, body] = [this.#rest[4] ?? 0, this.#rest.readUInt32LE(5), this.#rest.subarray(9, end)]
      this.#rest = this.#rest.subarray(end)
      if (kind === PACKET.data) {
        this.received = word
        if (this.plan.acknowledges) this.write(packet(PACKET.ack, word, new Uint8Array(0)))
        this.heard(decodeFrame(body))
      } else this.handshake(kind, word, body)
    }
  }

  /** A frame from the other side. */
  protected heard(_frame: Frame): void {}
  /** Another packet from the other side. */
  protected handshake(_kind: number, _word: number, _body: Uint8Array): void {}
  /** A further connection, where this side makes them. */
  protected reconnect(_resumes: boolean, _received: number, _keeps: boolean): void {}

  protected write(bytes: Uint8Array): void {
    if (this.socket?.writable === true) this.socket.write(bytes)
  }

  protected data(bytes: Uint8Array): Uint8Array {
    return packet(PACKET.data, ++this.sent, bytes)
  }

  /** Plays the plan, a few acts for each turn of the event loop. */
  protected async play(): Promise<void> {
    for (const [i, act] of this.plan.acts.entries()) {
      if (this.isStopped) return
      // oxlint-disable-next-line no-await-in-loop -- one act after the other
      await this.#do(act)
      // oxlint-disable-next-line no-await-in-loop -- the other side's turn
      if (i % 3 === 2) await setImmediate()
    }
  }

  async #do(act: Act): Promise<void> {
    switch (act.what) {
      case 'send':
        for (let i = 0; i < act.times; i++) this.write(this.data(act.bytes))
        return
      case 'misnumber':
        return this.write(packet(PACKET.data, this.sent + act.by, act.bytes))
      case 'raw':
        return this.write(act.bytes)
      case 'cut':
        this.write(this.data(act.bytes).subarray(0, act.keep))
        if (!act.goesOn) this.socket?.destroy()
        return
      case 'dribble':
        for (const byte of this.data(act.bytes)) this.write(Uint8Array.of(byte))
        return
      case 'swap': {
        const first = this.data(act.first)
        this.write(this.data(act.second))
        return this.write(first)
      }
      case 'ack':
        return this.write(packet(PACKET.ack, this.received + act.ahead, new Uint8Array(0)))
      case 'pause':
      case 'resume':
        this.socket?.[act.what]()
        return
      case 'end':
        this.socket?.end()
        return
      case 'destroy':
        this.socket?.destroy()
        return
      case 'connect':
        return this.reconnect(act.resumes, act.received, act.keeps)
      case 'wait':
        await setTimeout(act.ms)
    }
  }

  stop(): void {
    this.isStopped = true
    this.socket?.destroy()
  }
}

let sessions = 0

/** A device process that lies to its hypervisor. */
export class LyingDevices extends Player {
  readonly #path: string
  readonly #token: string
  readonly #session = `liar ${sessions++}`
  readonly #older: Socket[] = []
  #requests = 0
  #calls = 0

  constructor(plan: Plan, path: string, token: string) {
    super(plan)
    this.#path = path
    this.#token = token
  }

  /** Connects, opens, and plays. @param ends - whether it leaves when it has done all */
  async start(ends: boolean): Promise<void> {
    this.#connect(false, 0)
    // What is written before would be lost with a socket that is destroyed.
    await new Promise((resolve) => this.socket?.once('connect', resolve).once('close', resolve))
    await this.play()
    if (ends) this.stop()
  }

  #connect(resumes: boolean, received: number): void {
    this.use(createConnection({ path: this.#path, allowHalfOpen: this.plan.acts.length % 2 === 0 }))
    this.#open(resumes, received)
  }

  #open(resumes: boolean, received: number): void {
    const { opening } = this.plan
    const fields: Record<string, unknown> = { session: this.#session, name: 'liar', token: this.#token, resumes }
    if (opening === 'wrong token') fields['token'] = `${this.#token}x`
    if (opening === 'no token') delete fields['token']
    if (opening === 'no name') fields['name'] = [1]
    if (opening === 'resumes what there is not') fields['resumes'] = true
    const text = opening === 'no JSON' ? '{"session":' : JSON.stringify(fields)
    const bytes = packet(PACKET.open, received, Buffer.from(opening === 'too long' ? text.padEnd(20_000) : text))
    if (opening === 'nothing') return
    if (opening === 'noise') return this.write(Buffer.alloc(64, 0xee))
    if (opening === 'half a packet') return this.write(bytes.subarray(0, 20))
    if (opening === 'a frame first') this.write(this.data(frameBytes({ kind: 'powerOff' })))
    this.write(bytes)
  }

  protected override reconnect(resumes: boolean, received: number, keeps: boolean): void {
    // A second OPEN on a connection, or a second connection of a session.
    if (keeps && resumes) return this.#open(resumes, received)
    if (keeps && this.socket !== undefined) this.#older.push(this.socket)
    else this.socket?.destroy()
    if (!resumes) this.sent = 0
    this.#connect(resumes, resumes ? this.received : received)
  }

  protected override heard(frame: Frame): void {
    switch (frame.kind) {
      case 'request':
        return this.#react(frame.vcpu, frame.sequence)
      case 'settle':
      case 'save':
      case 'restore':
      case 'quiesce':
      case 'drop':
        return this.#reply(frame.call)
    }
  }

  #react(vcpu: number, sequence: number): void {
    const { reactions } = this.plan
    const send = (of: number, number: number): void =>
      this.write(this.data(frameBytes({ kind: 'answer', vcpu: of, sequence: number, lo: 0x5555_5555, hi: 7 })))
    switch (reactions[this.#requests++ % reactions.length]) {
      case 'answer':
        return send(vcpu, sequence)
      case 'answer twice':
        send(vcpu, sequence)
        return send(vcpu, sequence)
      case 'answer another':
        return send(vcpu, sequence + 1)
      case 'answer for another vCPU':
        return send(vcpu + 1, sequence)
      case 'fault':
        return this.write(
          this.data(frameBytes({ kind: 'fault', vcpu, device: 'liar', what: 'a lie', message: 'it lied' })),
        )
      case 'answer late':
        void setTimeout(5).then(() => send(vcpu, sequence))
        return
      case 'disconnect':
        this.socket?.destroy()
    }
  }

  #reply(call: number): void {
    const { replies } = this.plan
    const send = (to: number, result: string, error = ''): void =>
      this.write(this.data(frameBytes({ kind: 'called', call: to, error, result })))
    switch (replies[this.#calls++ % replies.length]) {
      case 'reply':
        return send(call, '{"version":1,"devices":{}}')
      case 'reply twice':
        send(call, '')
        return send(call, '')
      case 'reply to another':
        return send(call + 1, '')
      case 'nonsense':
        return send(call, '{"$bytes":7,')
      case 'error':
        return send(call, '', 'no')
    }
  }

  override stop(): void {
    super.stop()
    for (const socket of this.#older) socket.destroy()
  }
}

/** A hypervisor that lies to its device processes. */
export class LyingHypervisor extends Player {
  readonly #server: Server
  #connections = 0

  constructor(plan: Plan) {
    super(plan)
    this.#server = createServer((socket) => {
      this.use(socket)
      this.#connections++
    })
  }

  listen(path: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject).listen(path, resolve)
    })
  }

  protected override handshake(kind: number): void {
    if (kind !== PACKET.open) return
    const { welcome } = this.plan
    // A connection that is made again is taken as it should be.
    if (welcome === 'nothing') return
    if (welcome === 'noise') return this.write(Buffer.alloc(64, 0xee))
    if (welcome === 'cut') return void this.socket?.destroy()
    if (welcome === 'refuse') return this.write(packet(PACKET.refuse, 0, Buffer.from('no')))
    this.write(packet(PACKET.accept, welcome === 'accept' ? 0 : 1000, new Uint8Array(0)))
    if (this.#connections > 1) return
    const hello = { kind: 'hello', version: 3, vcpus: 2, realTime: true, now: { lo: 0, hi: 0 } } as const
    if (this.plan.acts.length % 4 !== 0) this.write(this.data(frameBytes(hello)))
    void this.play().catch(() => undefined)
  }

  protected override reconnect(): void {
    this.socket?.destroy()
  }

  async close(): Promise<void> {
    this.stop()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}
