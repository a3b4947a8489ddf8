import { IoreqError } from '@retrap/ioreq'
import { MachineLink } from './link.ts'
import type { FrameKind, FrameWord, MachineFrame, ProtocolFrame, ServerFrame } from './frame-table.ts'

/** Calls whose failure fails their device; the failure of any other call is reported to the caller alone. */
const FAILING: ReadonlySet<FrameKind> = new Set(['read', 'write', 'timer', 'reset'] as const)

interface Call {
  readonly kind: FrameKind
  /** The server's number of the device that the call concerns. */
  readonly device: number
  readonly answer: 'answer' | 'done'
  resolve(frame: ProtocolFrame<'answer'> | ProtocolFrame<'done'>): void
  reject(error: IoreqError): void
}

type Calling = Extract<MachineFrame, { readonly call: number }>
/** A call without its number. */
export type CallFields<Kind extends Calling['kind']> = Kind extends FrameKind
  ? Omit<ProtocolFrame<Kind>, 'call'>
  : never

/** The machine's end of a session with a server that declares devices: its calls, each of which is answered once. */
export class ProtocolSession extends MachineLink<ServerFrame> {
  readonly #calls = new Map<number, Call>()
  #lastCall = 0

  protected override counted(frame: ServerFrame): void {
    if (frame.kind === 'answer' || frame.kind === 'done') this.#answered(frame)
    else super.counted(frame)
  }

  #answered(frame: ProtocolFrame<'answer'> | ProtocolFrame<'done'>): void {
    const call = this.#calls.get(frame.call)
    if (call === undefined)
      throw new IoreqError('ERR_PROTOCOL', `it answered call ${frame.call}, which is not open: each is answered once`)
    if (call.answer !== frame.kind)
      throw new IoreqError(
        'ERR_PROTOCOL',
        `it answered call ${frame.call}, a ${call.kind}, with ${frame.kind}: expected ${call.answer}`,
      )
    this.#calls.delete(frame.call)
    call.resolve(frame)
  }

  /**
   * Makes a `read` or `write` that the server answers.
   *
   * @param device - the server's number of the device whose region it is; `failCalls` names it
   * @returns what was read; with `onCall` the call's number, for `cancel`
   */
  async access(
    fields: CallFields<'read'> | CallFields<'write'>,
    device = 0,
    onCall?: (call: number) => void,
  ): Promise<FrameWord> {
    const { value } = (await this.#call(fields, device, 'answer', onCall)) as ProtocolFrame<'answer'>
    return value
  }

  /**
   * Makes any other call.
   *
   * @param device - as for an access, where the frame does not name it
   * @returns its result
   * @throws IoreqError `ERR_DEVICE` with the server's error
   */
  async call(
    fields: CallFields<Exclude<Calling['kind'], 'read' | 'write' | 'cancel' | 'dmaDone'>>,
    device?: number,
  ): Promise<Uint8Array> {
    const of = device ?? ('device' in fields ? fields.device : 0)
    const { error, result } = (await this.#call(fields, of, 'done')) as ProtocolFrame<'done'>
    if (error !== '') throw new IoreqError('ERR_DEVICE', error)
    return result
  }

  #call(
    fields: CallFields<Calling['kind']>,
    device: number,
    answer: Call['answer'],
    onCall?: (call: number) => void,
  ): Promise<ProtocolFrame<'answer'> | ProtocolFrame<'done'>> {
    if (this.isOver) return Promise.reject(new IoreqError('ERR_DEVICE', 'it has ended'))
    const call = ++this.#lastCall
    onCall?.(call)
    return new Promise((resolve, reject) => {
      this.#calls.set(call, { kind: fields.kind, device, answer, resolve, reject })
      this.send({ ...fields, call } as Calling)
    })
  }

  /**
   * A device cannot go on: its open calls fail.
   *
   * @returns whether one of them was for the guest, or a timer's: its failure is then the device's
   */
  failCalls(device: number, error: IoreqError): boolean {
    let isTold = false
    for (const call of this.#calls.values()) {
      if (call.device !== device) continue
      isTold ||= FAILING.has(call.kind)
      // The answer may still come, and is dropped.
      call.reject(error)
    }
    return isTold
  }

  protected override end(why: string, error: IoreqError): void {
    super.end(why, error)
    const calls = [...this.#calls.values()]
    this.#calls.clear()
    for (const call of calls) call.reject(error)
  }
}
