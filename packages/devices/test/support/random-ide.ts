import type { BlockErrorCode } from '@retrap/device'
import { DATA, IdeMachine, TABLE } from './ide-machine.ts'
import { TestMedium } from './test-medium.ts'

/** Source of a case's choices: an integer from 0 to `bound` − 1. */
export type Choose = (bound: number) => number

const OPCODES = [
  0x08, 0x10, 0x20, 0x24, 0x25, 0x27, 0x29, 0x30, 0x34, 0x35, 0x39, 0x3d, 0x40, 0x42, 0x90, 0x91, 0xa0, 0xa0, 0xa0,
  0xa1, 0xc4, 0xc5, 0xc6, 0xc8, 0xca, 0xe5, 0xe7, 0xec, 0xef,
]
const PACKETS = [0x00, 0x03, 0x12, 0x1b, 0x1e, 0x25, 0x28, 0x2b, 0x42, 0x43, 0x46, 0x4a, 0x51, 0x5a, 0xa8, 0xbd, 0xbe]
const ERRORS: readonly BlockErrorCode[] = ['ERR_MEDIUM', 'ERR_RANGE', 'ERR_NO_SPACE', 'ERR_NO_MEDIUM']
/** Calls of DMA that one access of a guest may lead to: 64 KiB in pieces of two bytes, and the table's entries. */
const MOST_CALLS = 2 * 0x8000 + 16

/** A disk and a CD drive on one channel, and a watch on what the controller writes to guest memory. */
export class RandomIde {
  readonly disk = new TestMedium(300 * 512)
  readonly cd = new TestMedium(60 * 2048)
  readonly controller = new IdeMachine([
    { kind: 'disk', medium: this.disk },
    { kind: 'cdrom', medium: this.cd },
  ])
  /** The first thing that went wrong. */
  violation: string | undefined
  #calls = 0
  /** What the last table entry that was read allows. */
  #allowed = { first: 0, end: 0 }

  /** @param watched - whether writes to memory are held against the table */
  constructor(watched: boolean) {
    if (!watched) return
    const { machine, model } = this.controller
    const context = machine.context()
    const { dma } = context
    const fail = (what: string): void => void (this.violation ??= what)
    model.attach({
      ...context,
      dma: {
        ...dma,
        read: (gpa, into) => {
          if (++this.#calls > MOST_CALLS) fail('too much work for one access')
          const good = dma.read(gpa, into)
          if (into.length === 8 && good) {
            const view = new DataView(into.buffer, into.byteOffset)
            const first = view.getUint32(0, true) & ~1
            this.#allowed = { first: first >>> 0, end: (first >>> 0) + (view.getUint16(4, true) & ~1 || 0x1_0000) }
          }
          return good
        },
        write: (gpa, from) => {
          if (++this.#calls > MOST_CALLS) fail('too much work for one access')
          const { first, end } = this.#allowed
          if (gpa < first || gpa + from.length > end || first >> 16 !== (end - 1) >> 16)
            fail(`${from.length} bytes at ${gpa}: the entry allows ${first} to ${end}`)
          if ((this.controller.readBusMaster(2) & 1) === 0) fail(`bytes are written at ${gpa} while it is stopped`)
          return dma.write(gpa, from)
        },
      },
    })
    machine.functions.get(9)!.config[4] = 5
  }

  /** Does one thing that a guest, or its media, may do. @returns what the guest read */
  async act(choose: Choose): Promise<unknown> {
    const ide = this.controller
    this.#calls = 0
    switch (choose(16)) {
      case 0:
        return ide.out(1 + choose(6), choose(4) === 0 ? choose(256) : choose(8))
      case 1:
      case 2:
        return ide.out(7, choose(8) === 0 ? choose(256) : OPCODES[choose(OPCODES.length)]!)
      case 3: {
        const command = OPCODES[choose(OPCODES.length)]!
        return ide.command28(command, choose(310), 1 + choose(150), choose(3) === 0 ? 1 : 0)
      }
      case 4: {
        const packet = Array.from({ length: 12 }, () => (choose(4) === 0 ? choose(256) : 0))
        packet[0] = PACKETS[choose(PACKETS.length)]!
        if (choose(2) === 0) packet[8] = 1 + choose(50)
        return ide.packet(packet, { unit: 1, dma: choose(2) === 0, limit: choose(3) === 0 ? choose(65_536) : 2048 })
      }
      case 5:
        return ide.control(choose(8))
      case 6:
        return ide.writeBusMaster(0, choose(2) === 0 ? 9 : choose(16))
      case 7:
        return ide.writeBusMaster(choose(8), choose(256))
      case 8: {
        const entries = Array.from({ length: 1 + choose(6) }, () => {
          const at = DATA + choose(0x3_0000)
          return [choose(8) === 0 ? choose(2 ** 31) : at, choose(3) === 0 ? choose(65_536) : 2 * choose(64)] as const
        })
        return ide.prds(...entries)
      }
      case 9: {
        // Entries of two bytes, as many as there may be.
        const view = new DataView(ide.machine.ram.buffer)
        for (let at = TABLE; at < DATA; at += 8) {
          view.setUint32(at, DATA + 2 * choose(1000), true)
          view.setUint32(at + 4, 2, true)
        }
        return ide.writeBusMaster(4, TABLE, 4)
      }
      case 10:
        return ide.data(2 * (1 + choose(1200)))
      case 11:
        return ide.feed(Uint8Array.from({ length: 2 * (1 + choose(1200)) }, (_, i) => i))
      case 12:
        return [1, 2, 3, 4, 5, 6, 7].map((register) => ide.in(register))
      case 13: {
        const medium = choose(2) === 0 ? this.disk : this.cd
        medium.bad = choose(3) === 0 ? { at: choose(medium.bytes.length), code: ERRORS[choose(ERRORS.length)]! } : null
        return undefined
      }
      default:
        await ide.pass()
        return this.observed()
    }
  }

  /** What a guest and the host see without changing anything. */
  observed(): unknown {
    const ide = this.controller
    return [ide.alternateStatus, ide.line.level, ide.readBusMaster(0), ide.readBusMaster(2)]
  }
}
