import { setTimeout } from 'node:timers/promises'
import { describeThrown } from '@retrap/device/host'
import {
  beyondLimits,
  type FrameKind,
  type FrameWord,
  type MachineFrame,
  PROTOCOL_VERSION,
  type ProtocolFrame,
  type ServerFrame,
} from '@retrap/device-hosting/protocol'
import { bigOf, frameText, sentenceOf, wordOf } from './frame-text.ts'
import type { Link } from './link.ts'
import { declares, Objects } from './objects.ts'
import type { Report, Rule } from './report.ts'
import { RULES } from './rules.ts'
import { SparseMemory } from './sparse-memory.ts'
import { Wire } from './wire.ts'

/** The parts of a {@link Conversation}. */
export interface ConversationOptions {
  readonly report: Report
  /** Takes each frame as a line. */
  readonly trace: ((line: string) => void) | null
  /** Time limit for a call, in milliseconds. */
  readonly timeoutMs: number
  /** The guest's clock at the beginning. */
  readonly now?: bigint
}

type Calling = Extract<MachineFrame, { readonly call: number }>
type Without<Frame> = Frame extends Calling ? Omit<Frame, 'call'> : never
/** A call without its number. */
export type CallFields = Without<Exclude<Calling, { readonly kind: 'cancel' | 'dmaDone' }>>
type Answer = ProtocolFrame<'answer'> | ProtocolFrame<'done'>

interface OpenCall {
  readonly bytes: Uint8Array
  readonly kind: FrameKind
  readonly device: number
  readonly answer: 'answer' | 'done'
  /** Number of our frames up to this one. */
  readonly ordinal: number
  settle(answer: Answer | null): void
}

const NEVER = 2n ** 64n - 1n
/** Calls without an answer after which nothing more is asked. */
const MOST_LATE = 3
/** Time for a program to end after it has closed its connection. */
const GRACE_MS = 500
/** Most deadlines in the past that a server may set in a row. */
const MOST_PAST = 1000

/** One session with a server, in which this end is the machine, and looks at each frame. */
export class Conversation {
  readonly report: Report
  readonly wire: Wire
  readonly objects: Objects = new Objects()
  readonly timers: Map<number, { readonly deadline: bigint; readonly device: number }> = new Map()
  readonly session: bigint = BigInt(Math.floor(Math.random() * 2 ** 32) + 1) << 16n
  readonly timeoutMs: number
  readonly #guest = new SparseMemory()
  readonly #memories = new Map<number, SparseMemory>()
  readonly #calls = new Map<number, OpenCall>()
  /** Calls that were answered or have timed out. */
  readonly #settled = new Map<number, 'answered' | 'late'>()
  #lastCall = 0
  #late = 0
  #past = 0
  #wake: (() => void)[] = []
  /** The guest's clock. */
  now: bigint
  welcome: ProtocolFrame<'welcome'> | null = null
  isReady = false
  /** The reason why no further request can be sent; null: one can. */
  over: string | null = null
  /** This end has ended the session, or is about to: the server may close it. */
  ending = false
  /** Transfers of guest memory that were asked for. */
  transfers = 0
  /** Transfers are refused. */
  refuses = false
  /** Quiesced devices, which must start nothing. */
  readonly quiet: Set<number> = new Set()

  constructor({ report, trace, timeoutMs, now = 1_000_000_000n }: ConversationOptions) {
    this.report = report
    this.timeoutMs = timeoutMs
    this.now = now
    this.wire = new Wire({
      ...{ report, trace, session: this.session },
      now: () => this.now,
      onFrame: (frame, bytes, seen) => this.#take(frame as ServerFrame, bytes, seen),
      onBroken: (why) => this.#end(why, true),
      onClosed: (why) => this.#closed(why),
    })
  }

  /** Opens the session over a connection. @returns whether the server was accepted and all declarations are known */
  async open(link: Link): Promise<boolean> {
    this.connect(link)
    await this.until(() => this.isReady)
    return this.isReady && this.over === null
  }

  /** Sends hello over the first connection or a later one. */
  connect(link: Link, hello: Partial<ProtocolFrame<'hello'>> = {}): void {
    this.#lastLink = link
    this.wire.connect(link, hello)
  }

  /** Waits for a condition. @returns whether it became true within a call's time limit */
  async until(holds: () => boolean): Promise<boolean> {
    const end = performance.now() + this.timeoutMs
    while (!holds() && this.over === null) {
      const left = end - performance.now()
      if (left <= 0) break
      await new Promise<void>((resolve) => {
        const timer = globalThis.setTimeout(resolve, left)
        this.#wake.push(() => {
          clearTimeout(timer)
          resolve()
        })
      })
    }
    return holds()
  }

  #woken(): void {
    for (const wake of this.#wake.splice(0)) wake()
  }

  #closed(why: string): void {
    this.#end(why, false)
    if (!this.ending) this.explained = this.#explain(why)
  }

  /** Settles when the report has how a connection that the server closed was closed. */
  explained: Promise<void> = Promise.resolve()

  /** Explains why the server has closed the connection, with its program's exit status if known. */
  async #explain(why: string): Promise<void> {
    const ended = this.#lastLink?.ended ?? null
    const end = await Promise.race([ended, setTimeout(ended === null ? 0 : GRACE_MS, null)])
    const seen = end === null ? why : `it ${end.how}`
    this.over = seen
    const [rule, expected] =
      this.welcome === null
        ? ([RULES.welcome, 'welcome, version 5'] as const)
        : this.isReady
          ? ([RULES.stays, 'a connection until this end says bye'] as const)
          : ([RULES.ready, 'ready'] as const)
    const before = this.#open === '' ? '' : `, while this was open: ${this.#open}`
    this.report.fail(rule, seen + before, expected)
  }

  #open = ''

  #lastLink: Link | null = null

  #end(why: string, drop: boolean): void {
    this.over ??= why
    if (drop) this.wire.drop()
    for (const call of this.#calls.values()) {
      this.#open = frameText(call.bytes).split('\n')[0] ?? ''
      call.settle(null)
    }
    this.#calls.clear()
    this.#woken()
  }

  /** Ends the session. */
  close(why: string): void {
    this.ending = true
    this.#end(why, true)
  }

  fail(rule: Rule, bytes: Uint8Array, expected: string, sentence?: string): void {
    this.report.fail(rule, frameText(bytes), expected, sentence)
  }

  // ---- received frames ----

  #take(frame: ServerFrame, bytes: Uint8Array, seen: number | undefined): void {
    if (this.over !== null) return
    for (const { field, expected } of beyondLimits(frame))
      this.fail(RULES.limits, bytes, `${field}: ${expected}`, sentenceOf(frame.kind, field))
    if (frame.kind === 'log' && /[\r\n]/.test(frame.text))
      this.fail(RULES.limits, bytes, 'text: one line', sentenceOf('log', 'text'))
    this.#acts(frame, bytes, seen)
    this.#woken()
  }

  #acts(frame: ServerFrame, bytes: Uint8Array, seen: number | undefined): void {
    if (frame.kind === 'bye') return this.#bye(frame, bytes)
    if (this.welcome === null || frame.kind === 'welcome') return this.#welcomed(frame, bytes)
    if (frame.kind === 'ack' || frame.kind === 'log') return
    const trouble = this.objects.troubleWith(frame)
    if (trouble !== undefined) {
      const rule = trouble.rule === 'twice' && !this.isReady ? RULES.numbers : RULES.declared
      return this.fail(rule, bytes, trouble.expected)
    }
    if (frame.kind === 'fault') return this.fail(RULES.faults, bytes, 'a device that goes on')
    if (frame.kind === 'ready' || declares(frame.kind)) return this.#declares(frame, bytes)
    if (!this.isReady) return this.fail(RULES.before, bytes, 'frames that tell of a device, then ready')
    if (frame.kind === 'answer' || frame.kind === 'done') return this.#answered(frame, bytes, seen)
    this.#asks(frame, bytes)
  }

  #bye(frame: ProtocolFrame<'bye'>, bytes: Uint8Array): void {
    if (!this.ending) {
      if (this.welcome === null) this.fail(RULES.welcome, bytes, 'welcome')
      else this.fail(RULES.stays, bytes, 'a connection until this end says bye')
      this.ending = true
    }
    this.#end(`it said bye${frame.why === '' ? '' : `: ${frame.why}`}`, true)
  }

  #welcomed(frame: ServerFrame, bytes: Uint8Array): void {
    if (frame.kind !== 'welcome' || frame.version !== PROTOCOL_VERSION || this.welcome !== null) {
      const again = this.welcome !== null
      if (again && frame.kind === 'welcome' && this.onWelcome !== null) return this.onWelcome(frame, bytes)
      this.fail(RULES.welcome, bytes, again ? 'one welcome on each connection' : `welcome, version ${PROTOCOL_VERSION}`)
      return this.#end(again ? 'it sent a second welcome' : 'it did not welcome the machine', true)
    }
    this.welcome = frame
    if (bigOf(frame.session) !== 0n) this.fail(RULES.newSession, bytes, 'session 0', sentenceOf('welcome', 'session'))
  }

  /** Takes the welcome of a further connection. */
  onWelcome: ((frame: ProtocolFrame<'welcome'>, bytes: Uint8Array) => void) | null = null

  #declares(frame: ServerFrame, bytes: Uint8Array): void {
    if (this.isReady) return this.fail(RULES.later, bytes, 'nothing that tells of a device')
    if (frame.kind === 'ready') return void (this.isReady = true)
    try {
      this.objects.take(frame)
    } catch (error) {
      this.fail(RULES.limits, bytes, describeThrown(error), sentenceOf(frame.kind, 'name'))
    }
  }

  #answered(frame: Answer, bytes: Uint8Array, seen: number | undefined): void {
    const call = this.#calls.get(frame.call)
    if (call === undefined) {
      const before = this.#settled.get(frame.call)
      if (before === 'late') return this.fail(RULES.inTime, bytes, 'an answer before')
      const expected =
        before === 'answered' ? `nothing: call ${frame.call} had been answered` : 'the number of a call that is open'
      return this.fail(RULES.once, bytes, expected)
    }
    if (call.answer !== frame.kind)
      this.fail(RULES.right, bytes, `${call.answer}, as call ${frame.call} is a ${call.kind}`)
    if (seen !== undefined && seen < call.ordinal)
      this.fail(
        RULES.counts,
        bytes,
        `a count of at least ${call.ordinal & 0xffff}: the call that it answers was frame ${call.ordinal}`,
      )
    if (frame.kind === 'done') {
      if (frame.error !== '' && !this.allowsErrors) this.fail(RULES.errors, bytes, 'no error')
      if (call.kind !== 'save' && frame.result.length > 0) this.fail(RULES.result, bytes, 'no result')
    }
    if (call.kind === 'quiesce') this.quiet.add(call.device)
    this.#calls.delete(frame.call)
    this.#settled.set(frame.call, 'answered')
    call.settle(frame)
  }

  /** A call may end with an error now. */
  allowsErrors = false

  /** Takes a frame that answers nothing. */
  #asks(frame: ServerFrame, bytes: Uint8Array): void {
    switch (frame.kind) {
      case 'armTimer':
        return this.#armed(frame, bigOf(frame.deadline), bytes)
      case 'interrupt': {
        const most = this.objects.vectors(frame.function) - 1
        if (frame.vector <= most) return
        return this.fail(RULES.limits, bytes, `vector: at most ${most}`, sentenceOf('interrupt', 'vector'))
      }
      case 'dmaRead':
      case 'dmaWrite':
        this.transfers++
        if (this.quiet.has(frame.device))
          this.fail(RULES.quiet, bytes, 'no transfer between done of quiesce and resume')
        return this.#moves(frame, this.refuses ? null : this.#guest, frame.address)
      case 'memoryRead':
      case 'memoryWrite': {
        const size = frame.kind === 'memoryRead' ? frame.length : frame.bytes.length
        const { bytes: most = 0 } = this.objects.memory(frame.memory) ?? {}
        if (frame.offset + size > most)
          this.fail(RULES.transfers, bytes, `offsets within the ${most} bytes of memory ${frame.memory}`)
        let memory = this.#memories.get(frame.memory)
        if (memory === undefined) this.#memories.set(frame.memory, (memory = new SparseMemory()))
        return this.#moves(frame, memory, frame.offset)
      }
      default:
    }
  }

  #moves(
    frame: ProtocolFrame<'dmaRead' | 'dmaWrite' | 'memoryRead' | 'memoryWrite'>,
    memory: SparseMemory | null,
    at: number,
  ): void {
    const { call } = frame
    let bytes: Uint8Array = new Uint8Array(0)
    if (frame.kind === 'dmaWrite' || frame.kind === 'memoryWrite') {
      memory?.write(at, frame.bytes)
      if (call === 0) return
    } else if (memory !== null) memory.read(at, (bytes = new Uint8Array(Math.min(frame.length, 1 << 19))))
    this.wire.send({ kind: 'dmaDone', call, ok: memory === null ? 0 : 1, bytes })
  }

  #armed({ timer, device }: ProtocolFrame<'armTimer'>, deadline: bigint, bytes: Uint8Array): void {
    if (deadline === NEVER) return void this.timers.delete(timer)
    this.timers.set(timer, { deadline, device })
    if (deadline > this.now || this.quiet.size > 0) return
    if (this.#past++ < MOST_PAST) return void this.expire(timer)
    this.fail(RULES.past, bytes, `a later deadline, after ${MOST_PAST} that had passed: the guest would not go on`)
  }

  /** Fires a timer whose deadline has come. @returns whether the server has answered */
  async expire(timer: number): Promise<boolean> {
    const { deadline } = this.timers.get(timer) ?? { deadline: this.now }
    this.timers.delete(timer)
    return (await this.call({ kind: 'timer', timer, deadline: wordOf(deadline), now: this.time })) !== null
  }

  stopTimers(device: number): void {
    for (const [timer, each] of this.timers) if (each.device === device) this.timers.delete(timer)
  }

  /** The guest's clock as a field. */
  get time(): FrameWord {
    return wordOf(this.now)
  }

  // ---- sent frames ----

  /** Makes a call. @returns null without a response, which the report then mentions */
  call(fields: CallFields, onCall?: (call: number) => void): Promise<Answer | null> {
    if (this.over !== null) return Promise.resolve(null)
    const call = ++this.#lastCall
    onCall?.(call)
    return new Promise((resolve) => {
      const bytes = this.wire.send({ ...fields, call } as Calling)
      const timer = globalThis.setTimeout(() => this.#missed(call), this.timeoutMs)
      const settle = (answer: Answer | null): void => {
        clearTimeout(timer)
        resolve(answer)
      }
      const answer = fields.kind === 'read' || fields.kind === 'write' ? 'answer' : 'done'
      const device = 'device' in fields ? fields.device : 0
      this.#calls.set(call, { bytes, kind: fields.kind, device, answer, ordinal: this.wire.sent, settle })
    })
  }

  #missed(call: number): void {
    const open = this.#calls.get(call)
    if (open === undefined) return
    this.#calls.delete(call)
    this.#settled.set(call, 'late')
    const seen = `no answer within ${this.timeoutMs / 1000} s to:\n${frameText(open.bytes)}`
    this.report.fail(RULES.inTime, seen, `${open.answer} with call ${call}`)
    open.settle(null)
    if (++this.#late >= MOST_LATE) this.#end(`it left ${MOST_LATE} calls without an answer`, true)
  }
}
