// Both ends of a device socket as they should not be: what a peer does is drawn before it begins, and then played.
import { createConnection, createServer, type Server, type Socket } from 'node:net'
import { setImmediate, setTimeout } from 'node:timers/promises'
import { decodeFrame, type Frame } from '@retrap/device-hosting'
import {
  encodeProtocolFrame,
  PROTOCOL_VERSION,
  type ProtocolFrame,
  ProtocolReader,
} from '@retrap/device-hosting/protocol'
import type { Rng } from '@retrap/tooling/soak'
import { anyFrame, frameBytes, introduction } from './lying-frames.ts'

const HEADER_BYTES = 8
const LONGEST_FRAME = 1 << 20
/** `welcome`: models for `@retrap/device`, and a session that goes on over another connection. */
const FLAGS = 3
const NOW = { lo: 0, hi: 0 }

/** A frame of the device protocol, right or wrong. */
function wireFrame(code: number, seen: number, bytes: Uint8Array, length = HEADER_BYTES + bytes.length): Uint8Array {
  const out = Buffer.alloc(HEADER_BYTES + bytes.length)
  out.writeUInt32LE(length >>> 0, 0)
  out.writeUInt16LE(code, 4)
  out.writeUInt16LE(seen & 0xffff, 6)
  out.set(bytes, HEADER_BYTES)
  return out
}

type Act =
  | { readonly what: 'send'; readonly bytes: Uint8Array; readonly times: number }
  /** A frame that is wrong: its count of what has arrived, its length, its bytes, or where it ends. */
  | { readonly what: 'miscount'; readonly bytes: Uint8Array; readonly by: number }
  | { readonly what: 'raw'; readonly bytes: Uint8Array }
  | { readonly what: 'cut'; readonly bytes: Uint8Array; readonly keep: number; readonly goesOn: boolean }
  | { readonly what: 'dribble'; readonly bytes: Uint8Array }
  /** What opens a connection, on one that is open. */
  | { readonly what: 'greet'; readonly frame: ProtocolFrame }
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

/** How the connection of a hypervisor begins. */
const OPENINGS = [
  'good',
  'wrong token',
  'no token',
  'no name',
  'another version',
  'too long',
  'resumes what there is not',
  'nothing',
  'half a frame',
  'noise',
  'a frame first',
] as const
type Opening = (typeof OPENINGS)[number]

/** How a device process answers the opening of a hypervisor. */
const WELCOMES = [
  'accept',
  'accept',
  'accept',
  'accept',
  'accept too much',
  'another version',
  'declared devices',
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
    welcome: truthful ? 'accept' : rng.pick(WELCOMES),
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
      return { what: 'miscount', bytes, by: rng.pick([0, -1, 2, 0x7fff, 0x8000, 77]) }
    case 2:
      return { what: 'raw', bytes: rng.chance() ? rng.bytes(rng.below(64)) : badFrame(rng, bytes) }
    case 3:
      return { what: 'cut', bytes, keep: rng.below(HEADER_BYTES + bytes.length), goesOn: rng.chance() }
    case 4:
      return { what: 'dribble', bytes: bytes.subarray(0, 300) }
    case 5:
      return { what: 'greet', frame: rng.chance() ? welcomeOf('accept', rng.below(3)) : helloOf(rng.below(3), 0) }
    case 6:
      return { what: 'ack', ahead: rng.pick([0, -1, 1, 1000, 0x8000]) }
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

function badFrame(rng: Rng, bytes: Uint8Array): Uint8Array {
  const code = rng.chance() ? rng.pick([1, 2, 15, 32, 64, 65, 66]) : rng.below(0x1_0000)
  const length = rng.pick([HEADER_BYTES + bytes.length, 0, 4, 7, 8, 9, LONGEST_FRAME, LONGEST_FRAME + 8, -8])
  return wireFrame(code, rng.below(100), bytes, length)
}

const helloOf = (session: number, received: number, version = PROTOCOL_VERSION): ProtocolFrame => ({
  ...{ kind: 'hello', version, flags: 1, session: { lo: session, hi: 1 }, received, now: NOW },
})

const welcomeOf = (how: Plan['welcome'], received: number): ProtocolFrame => ({
  ...{ kind: 'welcome', version: how === 'another version' ? 4 : PROTOCOL_VERSION, name: 'liar', session: NOW },
  ...{ flags: how === 'declared devices' ? 1 : FLAGS, received: how === 'accept too much' ? 1000 : received },
})

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

/** What both sides have in common: a socket, counts of frames, and a plan. */
class Player {
  protected readonly plan: Plan
  protected socket?: Socket
  protected received = 0
  protected isStopped = false

  constructor(plan: Plan) {
    this.plan = plan
  }

  protected use(socket: Socket): void {
    this.socket = socket
    const reader = new ProtocolReader()
    socket.on('error', () => undefined)
    socket.on('data', (bytes) => reader.push(Uint8Array.from(bytes), ({ frame }) => this.#take(frame)))
  }

  #take(frame: ProtocolFrame): void {
    if (frame.kind !== 'model') return this.greeted(frame)
    this.received++
    if (this.plan.acknowledges) this.put({ kind: 'ack' })
    this.heard(decodeFrame(frame.bytes))
  }

  /** A frame from the other side. */
  protected heard(_frame: Frame): void {}
  protected greeted(_frame: ProtocolFrame): void {}
  /** Another connection. */
  protected reconnect(_resumes: boolean, _received: number, _keeps: boolean): void {}

  protected put(frame: ProtocolFrame): void {
    this.write(encodeProtocolFrame(frame, this.received))
  }

  protected write(bytes: Uint8Array): void {
    if (this.socket?.writable === true) this.socket.write(bytes)
  }

  /** A frame of models. @param ahead - what it counts too much */
  protected data(bytes: Uint8Array, ahead = 0): Uint8Array {
    return encodeProtocolFrame({ kind: 'model', bytes }, this.plan.acknowledges ? this.received + ahead : 0)
  }

  /** Plays the plan, a few acts for each turn of the event loop. */
  protected async play(): Promise<void> {
    for (const [i, act] of this.plan.acts.entries()) {
      if (this.isStopped) return
      await this.#do(act)
      if (i % 3 === 2) await setImmediate()
    }
  }

  async #do(act: Act): Promise<void> {
    switch (act.what) {
      case 'send':
        for (let i = 0; i < act.times; i++) this.write(this.data(act.bytes))
        return
      case 'miscount':
        return this.write(this.data(act.bytes, act.by))
      case 'raw':
        return this.write(act.bytes)
      case 'cut':
        this.write(this.data(act.bytes).subarray(0, act.keep))
        if (!act.goesOn) this.socket?.destroy()
        return
      case 'dribble':
        for (const byte of this.data(act.bytes)) this.write(Uint8Array.of(byte))
        return
      case 'greet':
        return this.put(act.frame)
      case 'ack':
        return this.write(wireFrame(1, this.received + act.ahead, new Uint8Array(0)))
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

/** A device process that lies to its hypervisor. */
export class LyingDevices extends Player {
  readonly #ends: boolean
  readonly #server: Server
  #connections = 0
  #requests = 0
  #calls = 0

  /** @param ends - whether it leaves when it has done all */
  constructor(plan: Plan, ends: boolean) {
    super(plan)
    this.#ends = ends
    const allowHalfOpen = plan.acts.length % 2 === 0
    this.#server = createServer({ allowHalfOpen }, (socket) => {
      this.use(socket)
      this.#connections++
    })
  }

  listen(path: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject).listen(path, resolve)
    })
  }

  protected override greeted(frame: ProtocolFrame): void {
    if (frame.kind !== 'hello') return
    const { welcome } = this.plan
    if (welcome === 'nothing') return
    if (welcome === 'noise') return this.write(Buffer.alloc(64, 0xee))
    if (welcome === 'cut') return void this.socket?.destroy()
    if (welcome === 'refuse') return this.put({ kind: 'bye', why: 'no' })
    // A connection that is made again is taken as it should be, every second time.
    const goesOn = this.#connections > 1 && this.#connections % 2 === 0
    this.put({ ...welcomeOf(welcome, this.received), ...(goesOn && { session: frame.session }) } as ProtocolFrame)
    if (this.#connections > 1) return
    void this.play()
      .catch(() => undefined)
      .then(() => this.#ends && this.stop())
  }

  protected override reconnect(): void {
    this.socket?.destroy()
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

  async close(): Promise<void> {
    this.stop()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

let sessions = 0

/** A hypervisor that lies to its device processes. */
export class LyingHypervisor extends Player {
  readonly #path: string
  readonly #token: string
  readonly #older: Socket[] = []
  #session = sessions++
  #attempt = 0

  constructor(plan: Plan, path: string, token: string) {
    super(plan)
    this.#path = path
    this.#token = token
  }

  /** Connects, opens, and plays. */
  async start(): Promise<void> {
    this.#connect(0)
    // What is written before would be lost with a socket that is destroyed.
    await new Promise((resolve) => this.socket?.once('connect', resolve).once('close', resolve))
    const hello = { kind: 'hello', version: 3, vcpus: 2, realTime: true, now: NOW } as const
    if (this.plan.acts.length % 4 !== 0) this.write(this.data(frameBytes(hello)))
    await this.play()
  }

  #connect(received: number): void {
    this.use(createConnection({ path: this.#path, allowHalfOpen: this.plan.acts.length % 2 === 0 }))
    this.#open(received)
  }

  #open(received: number): void {
    const { opening } = this.plan
    const token = opening === 'wrong token' ? `${this.#token}x` : opening === 'no token' ? '' : this.#token
    const name = opening === 'no name' ? '' : opening === 'too long' ? 'liar'.padEnd(20_000) : 'liar'
    const bytes = encodeProtocolFrame({ kind: 'introduce', name, token, attempt: ++this.#attempt })
    if (opening === 'nothing') return
    if (opening === 'noise') return this.write(Buffer.alloc(64, 0xee))
    if (opening === 'half a frame') return this.write(bytes.subarray(0, 20))
    if (opening === 'a frame first') this.write(this.data(frameBytes({ kind: 'powerOff' })))
    this.write(bytes)
    const count = opening === 'resumes what there is not' ? 1 : received
    this.put(helloOf(this.#session, count, opening === 'another version' ? 4 : PROTOCOL_VERSION))
  }

  protected override reconnect(resumes: boolean, received: number, keeps: boolean): void {
    // A second opening on a connection, or a second connection of a session.
    if (keeps && resumes) return this.#open(received)
    if (keeps && this.socket !== undefined) this.#older.push(this.socket)
    else this.socket?.destroy()
    if (!resumes) this.#session = sessions++
    this.#connect(resumes ? this.received : received)
  }

  override stop(): void {
    super.stop()
    for (const socket of this.#older) socket.destroy()
  }
}
