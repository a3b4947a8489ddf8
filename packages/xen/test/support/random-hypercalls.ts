import { ARGUMENTS, type CallerMode, XenTestGuest, type XenTestOptions } from './xen-guest.ts'

/** Hypercalls that there are; others come too. */
const KNOWN = [12, 13, 15, 17, 18, 20, 21, 24, 29, 32, 33, 34]
const MULTICALL = 13n
const CONSOLE_IO = 18n
const PATIENCE_NS = 1e9
/** How a guest may end that has been treated like this. */
const EXITS = ['stopped', 'power-off', 'reset', 'guest-shutdown', 'vcpu-shutdown']

export type Random = (below: number) => number

/** A number as guests would use it, or as they should not. */
function value(random: Random): bigint {
  switch (random(12)) {
    case 0:
      return BigInt(ARGUMENTS + random(0x2000))
    case 1:
      return BigInt(random(0x800))
    case 2:
      return 0x7ff0n
    case 3:
      return BigInt(random(2 ** 32))
    case 4:
      return (BigInt(random(2 ** 32)) << 32n) | BigInt(random(2 ** 32))
    case 5:
      return 0xffff_ffff_ffff_ffffn >> BigInt(random(64))
    case 6:
      return 1n << BigInt(random(64))
    case 7:
      return BigInt(ARGUMENTS + random(0x20) * 8)
    default:
      return BigInt(random(8))
  }
}

/** Fills the memory that pointers are likely to point to. */
function fill(guest: XenTestGuest, random: Random): void {
  const words = new BigUint64Array(64)
  for (let i = 0; i < words.length; i++)
    words[i] = random(3) === 0 ? value(random) | (value(random) << 32n) : value(random)
  const bytes = new Uint8Array(words.buffer)
  guest.write(ARGUMENTS, bytes)
  if (random(4) === 0) guest.write(ARGUMENTS + 0x1000 + random(0x1000), bytes)
}

/** A guest that is called at random, and what must hold of it. */
export class RandomCaller {
  readonly guest: XenTestGuest
  readonly #total: number
  #lost = false

  constructor(mode: CallerMode, options: XenTestOptions = {}) {
    const xen = { maxFrames: 1200, pirqs: true, console: () => undefined }
    this.guest = new XenTestGuest(mode, { xen, ...options })
    this.#total = this.frames
  }

  /** Frames of the machine that are free, tables, the guest's, or its grant table. */
  get frames(): number {
    const { xen } = this.guest
    return this.guest.spareFrames + xen.memory.current + xen.grants.machineFrames
  }

  /** It can be called on: it has not ended, nor given away what calls stand on. */
  get usable(): boolean {
    const { dirtyLogs } = this.guest.domain
    const has = (gpa: number): boolean => dirtyLogs.writable(gpa) >= 0
    return !this.#lost && this.guest.exit.reason === 'stopped' && has(ARGUMENTS) && has(ARGUMENTS + 0x2fff)
  }

  /** The last call, for people. */
  told: string = ''

  /** Makes one call. @returns what is wrong, if anything is */
  async call(random: Random): Promise<string | undefined> {
    const { guest } = this
    const { domain } = guest
    fill(guest, random)
    const number = random(10) === 0 ? value(random) : BigInt(KNOWN[random(KNOWN.length)] as number)
    const args = [BigInt(random(random(4) === 0 ? 256 : 34)), ...Array.from({ length: 5 }, () => value(random))]
    // Long lists are cut into parts, but all of RAM is one for a while.
    if (number === MULTICALL || number === CONSOLE_IO) args[1] = (args[1] as bigint) & 0xffn
    // A vCPU that waits is left alone after a while; one that does not wait by then has lost its code.
    const timer = domain.timers.create(() => {
      this.#lost = !guest.xen.blocked.has(0)
      domain.stop({ reason: 'stopped' })
    })
    timer.arm(domain.clock.now() + PATIENCE_NS)
    const result = await guest.call(number, ...args)
    timer.cancel()
    this.told = `${number}(${args.map((each) => each.toString(16)).join(', ')}) = ${result}`
    guest.xen.blocked.wake(0)
    const frames = this.frames
    if (EXITS.includes(guest.exit.reason) && frames === this.#total) return undefined
    const end = 'error' in guest.exit ? String(guest.exit.error) : guest.exit.reason
    return `${this.told}: ${end}; ${frames} frames of ${this.#total}`
  }
}
