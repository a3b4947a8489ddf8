import type { BlockErrorCode } from '@retrap/device'
import { AhciMachine, CI, CMD, DATA, IS, SACT, SCTL, SERR, START, TFD } from './ahci-machine.ts'
import type { Choose } from './random-ide.ts'
import { TestMedium } from './test-medium.ts'

const OPCODES = [
  0x20, 0x25, 0x25, 0x2f, 0x30, 0x35, 0x35, 0x3d, 0x40, 0x47, 0x60, 0x60, 0x61, 0xa0, 0xa0, 0xa1, 0xc8, 0xca, 0xe7,
  0xec, 0xef,
]
const PACKETS = [0x00, 0x03, 0x12, 0x25, 0x28, 0x28, 0x43, 0x4a, 0x5a, 0xa8]
const ERRORS: readonly BlockErrorCode[] = ['ERR_MEDIUM', 'ERR_RANGE', 'ERR_NO_SPACE', 'ERR_NO_MEDIUM']
/** Calls of DMA for one access: 32 slots, each with its structures and a slice of 64 KiB in parts of two bytes. */
const MOST_CALLS = 32 * (0x8000 * 2 + 64)

/** A disk and a CD drive, and a watch on what the controller does to guest memory. */
export class RandomAhci {
  readonly disk = new TestMedium(300 * 512)
  readonly cd = new TestMedium(60 * 2048)
  readonly controller: AhciMachine
  /** The first thing that went wrong. */
  violation: string | undefined
  #calls = 0

  constructor() {
    const fail = (what: string): void => void (this.violation ??= what)
    const count = (): void => {
      if (++this.#calls > MOST_CALLS) fail('too much work for one access')
      if ((this.controller.config[4]! & 4) === 0) fail('memory is used while bus mastering is off')
    }
    this.controller = new AhciMachine(
      [
        { kind: 'disk', medium: this.disk },
        { kind: 'cdrom', medium: this.cd },
      ],
      (dma) => ({
        read: (gpa, into) => {
          count()
          return dma.read(gpa, into)
        },
        write: (gpa, from) => {
          count()
          // A frame with the signature may come while no command is processed; data and counts may not.
          const stopped = [0, 1].every((port) => (this.controller.port(CMD, port) & 1) === 0)
          if (stopped && from.length !== 20)
            fail(`${from.length} bytes are written at ${gpa} while all ports are stopped`)
          return dma.write(gpa, from)
        },
      }),
    )
    for (const port of [0, 1]) this.controller.start(port)
  }

  /** Does one thing that a guest, or its media, may do. @returns what the guest read */
  async act(choose: Choose): Promise<unknown> {
    const ahci = this.controller
    this.#calls = 0
    const port = choose(2)
    switch (choose(16)) {
      case 0:
        return ahci.setPort(4 * choose(16), choose(2) === 0 ? choose(2 ** 31) * 2 : choose(64), port)
      case 1:
        return ahci.setPort(CMD, choose(3) === 0 ? choose(2 ** 30) : START, port)
      case 2:
        return ahci.setPort(SCTL, choose(2), port)
      case 3:
        return ahci.write(4 * choose(12), choose(4) === 0 ? choose(2 ** 31) : 2)
      case 4:
      case 5: {
        const slot = choose(4)
        const parts = Array.from({ length: choose(5) }, () => {
          const gpa = choose(10) === 0 ? choose(2 ** 31) : (port << 16) + DATA + choose(0x4000)
          return [gpa, 2 * (1 + choose(4096))] as const
        })
        const packet = Array.from({ length: 12 }, () => (choose(4) === 0 ? choose(256) : 0))
        packet[0] = PACKETS[choose(PACKETS.length)]!
        if (choose(2) === 0) packet[8] = 1 + choose(40)
        const opcode = choose(8) === 0 ? choose(256) : OPCODES[choose(OPCODES.length)]!
        const given = { opcode, lba: choose(310), count: 1 + choose(20), feature: choose(20), parts }
        const control = choose(12) === 0 ? { control: 4 * choose(2) } : {}
        ahci.prepare(slot, { ...given, ...control, ...(opcode === 0xa0 && { packet }) }, port)
        if (choose(2) === 0) ahci.setPort(SACT, 1 << slot, port)
        return ahci.setPort(CI, 1 << slot, port)
      }
      case 6:
        return ahci.setPort(CI, choose(256), port)
      case 7: {
        // Structures that are anything.
        const at = (port << 16) + 0x1000 + choose(0x3000)
        ahci.machine.ram.set(
          Array.from({ length: 16 }, () => choose(256)),
          at,
        )
        return undefined
      }
      case 8:
        ahci.setPort(IS, 0xffff_ffff, port)
        ahci.setPort(SERR, 0xffff_ffff, port)
        return ahci.write(8, 3)
      case 9:
        ahci.config[4] = choose(3) === 0 ? 2 : 6
        return ahci.configWritten(4)
      case 10: {
        const medium = choose(2) === 0 ? this.disk : this.cd
        medium.bad = choose(3) === 0 ? { at: choose(medium.bytes.length), code: ERRORS[choose(ERRORS.length)]! } : null
        return undefined
      }
      case 11:
        ahci.start(port)
        return undefined
      default:
        await ahci.pass(3)
        return this.observed()
    }
  }

  /** What a guest sees without changing anything. */
  observed(): unknown {
    const ahci = this.controller
    return [0, 1].map((port) => [CI, SACT, TFD, IS, CMD].map((register) => ahci.port(register, port)))
  }
}
