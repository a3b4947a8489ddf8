import { BufferBudget } from '../../src/tcp/buffer-budget.ts'
import { TcpConnection } from '../../src/tcp/connection.ts'
import type { TcpEnd } from '../../src/tcp/receive-window.ts'
import { readIpv4Packet } from '../../src/frames/ipv4.ts'
import { readTcp, type TcpSegment } from '../../src/frames/tcp.ts'
import { VirtualClock } from './virtual-clock.ts'

/** What the network does to one frame: delays of the copies that arrive, in milliseconds. */
export type Fate = (segment: TcpSegment, fromLeft: boolean) => readonly number[]

/** One end, as a program sees it. */
export class End {
  connection!: TcpConnection
  readonly received: number[] = []
  #outgoing: Uint8Array
  #sent = 0
  readonly #endsWhenSent: boolean
  /** Bytes that the program reads at a time; 0: it does not read. */
  reads = Infinity
  connected = false
  sawEnd = false
  ended: TcpEnd | null = null

  constructor(outgoing: Uint8Array, endsWhenSent = true) {
    this.#outgoing = outgoing
    this.#endsWhenSent = endsWhenSent
  }

  pump(): void {
    if (this.connected && this.ended === null) {
      this.#sent += this.connection.write(this.#outgoing.subarray(this.#sent))
      if (this.#endsWhenSent && this.#sent === this.#outgoing.length) this.connection.end()
    }
    this.drain()
  }

  drain(): void {
    for (let most = this.reads; most > 0;) {
      const bytes = this.connection.read(Math.min(most, 4096))
      if (bytes === null) break
      for (const byte of bytes) this.received.push(byte)
      most -= bytes.length
    }
    if (this.connection.atEnd) this.sawEnd = true
  }
}

/** Two connections of ours, and the network between them. */
export class TcpPair {
  readonly clock = new VirtualClock()
  readonly left: End
  readonly right: End
  fate: Fate = () => [1]
  frames = 0
  /** Of each segment of the left end's that names later data, where that begins and ends. */
  readonly sacks: number[][][] = []
  readonly log: { readonly fromLeft: boolean; readonly segment: TcpSegment; readonly at: number }[] = []

  constructor(left: End, right: End, initial: readonly [number, number] = [1000, 4_294_967_000]) {
    this.left = left
    this.right = right
    left.connection = this.#connect(true, initial[0])
    this.#initialRight = initial[1]
  }

  readonly #initialRight: number

  #connect(isLeft: boolean, initialSequence: number, syn?: TcpSegment): TcpConnection {
    const end = isLeft ? this.left : this.right
    const [mine, theirs] = isLeft ? ([1, 2] as const) : ([2, 1] as const)
    return new TcpConnection(
      {
        localAddress: 0x0a000000 + mine,
        localPort: 1000 + mine,
        remoteAddress: 0x0a000000 + theirs,
        remotePort: 1000 + theirs,
        clock: this.clock,
        budget: new BufferBudget(1 << 20),
        initialSequence,
        client: {
          connected: () => {
            end.connected = true
            this.clock.soon(() => end.pump())
          },
          readable: () => end.drain(),
          writable: () => end.pump(),
          closed: (why) => (end.ended = why),
        },
        transmit: (frame) => this.#carry(frame, isLeft),
      },
      syn,
    )
  }

  #carry(frame: Uint8Array, fromLeft: boolean): void {
    this.frames++
    const packet = readIpv4Packet(frame)
    const segment = packet === null ? null : readTcp(packet)
    if (segment === null) throw new Error('a segment that does not parse')
    const bytes = packet!.payload
    const sack = bytes.subarray(20, (bytes[12]! >> 4) * 4)
    if (fromLeft && sack[0] === 1 && sack[2] === 5) {
      const word = (at: number): number => new DataView(sack.buffer, sack.byteOffset).getUint32(at) - 501
      this.sacks.push(Array.from({ length: (sack[3]! - 2) / 8 }, (_, i) => [word(4 + 8 * i), word(8 + 8 * i)]))
    }
    this.log.push({ fromLeft, segment, at: this.clock.now() })
    for (const delay of this.fate(segment, fromLeft)) this.clock.after(delay, () => this.#deliver(segment, fromLeft))
  }

  #deliver(segment: TcpSegment, toRight: boolean): void {
    if (toRight && this.right.connection === undefined) {
      if ((segment.flags & 2) === 0) return
      this.right.connection = this.#connect(false, this.#initialRight, segment)
      return
    }
    ;(toRight ? this.right : this.left).connection.receive(segment)
  }

  /** Runs until nothing is left to do but to wait for `until` milliseconds of time. */
  run(until = 3_600_000, most = 100_000): void {
    for (let steps = 0; steps < most && this.clock.step(until); steps++) {
      if (this.left.ended !== null && this.right.ended !== null) return
    }
  }
}
