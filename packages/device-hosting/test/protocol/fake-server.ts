import {
  encodeProtocolFrame,
  type FrameWord,
  type MachineFrame,
  type ProtocolFrame,
  ProtocolDevices,
  type ProtocolDevicesOptions,
  ProtocolReader,
  type ServerFrame,
} from '../../src/protocol/index.ts'
import { type IoRequest, STATUS_RETRY } from '@retrap/ioreq'
import type { makeMachine } from '../machine.ts'

export const word = (value: number): FrameWord => ({ lo: value >>> 0, hi: Math.floor(value / 2 ** 32) })

/** A frame with all fields that it leaves out as 0 or empty. */
export type Sparse = {
  [Kind in ServerFrame['kind']]: { kind: Kind } & Partial<ProtocolFrame<Kind>>
}[ServerFrame['kind']]

/** A device server of this thread, by frames: what it was sent, and what it answers. */
export class FakeServer {
  readonly got: MachineFrame[] = []
  readonly devices: ProtocolDevices
  readonly machine: ReturnType<typeof makeMachine>
  readonly logs: string[] = []
  readonly flags: number
  /** Answers a frame; called for each. */
  onFrame: (frame: MachineFrame) => void = () => {}
  #toMachine: (chunk: Uint8Array) => void = () => {}
  received = 0
  closed = false

  constructor(machine: ReturnType<typeof makeMachine>, options: Partial<ProtocolDevicesOptions> = {}, flags = 0) {
    this.machine = machine
    this.flags = flags
    this.devices = new ProtocolDevices(machine.dispatch, machine.platform, {
      name: 'fake',
      realTime: false,
      session: { lo: 7, hi: 9 },
      onLog: (text) => this.logs.push(text),
      ...options,
    })
    this.connect()
  }

  connect(): void {
    const reader = new ProtocolReader()
    this.#toMachine = this.devices.end.connect({
      backlog: 0,
      write: (bytes) =>
        reader.push(bytes, ({ frame }) => {
          if (!['hello', 'ack', 'bye'].includes(frame.kind)) this.received++
          this.got.push(frame as MachineFrame)
          this.onFrame(frame as MachineFrame)
        }),
      close: () => (this.closed = true),
    })
  }

  /** Sends frames in one piece. */
  send(...frames: Sparse[]): void {
    const pieces = frames.map((frame) => encodeProtocolFrame(filled(frame), this.received))
    this.raw(Buffer.concat(pieces))
  }

  raw(bytes: Uint8Array): void {
    this.#toMachine(new Uint8Array(bytes))
  }

  welcome(fields: Partial<ProtocolFrame<'welcome'>> = {}): void {
    this.send({ kind: 'welcome', version: 5, flags: this.flags, session: word(0), name: 'fake', ...fields })
  }

  /** Frames of a kind that have come. */
  of<Kind extends MachineFrame['kind']>(kind: Kind): ProtocolFrame<Kind>[] {
    return this.got.filter((frame): frame is ProtocolFrame<Kind> & MachineFrame => frame.kind === kind)
  }

  /** Makes an access, and waits for its answer. */
  async access(fields: Partial<IoRequest>, vcpu = 0): Promise<number> {
    const { dispatch, request } = this.machine
    let status = dispatch.submit(vcpu, request(fields))
    for (let i = 0; status === STATUS_RETRY && i < 100; i++) {
      await turn()
      this.machine.timers.expire()
      status = dispatch.requests.take(vcpu)
    }
    return status
  }
}

/** Lets promises go on. */
export const turn = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, 0))

const EMPTY: Readonly<Record<string, unknown>> = {
  text: '',
  name: '',
  message: '',
  error: '',
  bus: '',
  why: '',
  result: new Uint8Array(0),
  bytes: new Uint8Array(0),
  body: new Uint8Array(0),
  writable: new Uint8Array(0),
}

/** Strings and bytes are told apart by their names, apart from `bytes` as a number of ranges. */
export function filled(frame: Sparse): ProtocolFrame {
  return new Proxy(frame, {
    get: (target, name: string) => {
      const value = (target as unknown as Record<string, unknown>)[name]
      return value ?? (name in EMPTY ? EMPTY[name] : 0)
    },
  }) as unknown as ProtocolFrame
}
