/** Has a case executed in each way, and compares. */
import type { FormCase } from './cases.ts'
import { FormMachine, type Outcome } from './machine.ts'

/** ESR_EL1's exception class. */
const CLASS_SHIFT = 26n
const EC_UNDEFINED = 0n
const EC_SVC = 0x15n

/** What cases have shown. */
export interface FormCounts {
  runs: number
  /** Accesses that a device was asked for, in runs where it answers at once. */
  accesses: number
  /** By form that has come to its end: in how many cases the device had a part in it. */
  readonly reached: Map<number, number>
  /** Cases that ended with an exception of the instruction's own. */
  faults: number
  /** Features of instructions that EL1 does not have; a mnemonic where there is no name. */
  readonly undefinedFeatures: Set<string>
}

/** No counts yet. */
const newCounts = (): FormCounts => ({
  runs: 0,
  accesses: 0,
  reached: new Map(),
  faults: 0,
  undefinedFeatures: new Set(),
})

const hex = (value: bigint | undefined): string => (value === undefined ? 'as before' : value.toString(16))

function differences(what: string, ours: Outcome, theirs: Outcome, withMemory: boolean): string[] {
  const found: string[] = []
  for (const name of new Set([...ours.registers.keys(), ...theirs.registers.keys()])) {
    const [a, b] = [ours.registers.get(name), theirs.registers.get(name)]
    if (a !== b) found.push(`${name} ${hex(a)}, not ${hex(b)}`)
  }
  const at = ours.contents.findIndex((byte, i) => byte !== theirs.contents[i])
  if (withMemory && at >= 0) found.push(`byte ${at} ${ours.contents[at]}, not ${theirs.contents[at]}`)
  return found.length === 0 ? [] : [`${what}: ${found.join('; ')}`]
}

const sameLog = (what: string, ours: Outcome, theirs: Outcome): string[] =>
  ours.log.join() === theirs.log.join() ? [] : [`${what}: the device saw ${ours.log.join()}, not ${theirs.log.join()}`]

/** The two machines, and what they have shown. */
export class FormComparison {
  readonly counts: FormCounts = newCounts()
  readonly #device = new FormMachine(true)
  readonly #ram = new FormMachine(false)

  /** Executes a case in each way. @returns what differs */
  async compare(each: FormCase): Promise<string[]> {
    const device = this.#device
    const { counts } = this
    const atOnce = await device.run(each, { kind: 'at once' })
    const { length } = atOnce.log
    const kind = (atOnce.registers.get('esr_el1') ?? 0n) >> CLASS_SHIFT
    if (kind === EC_SVC) {
      counts.reached.set(each.form.index, (counts.reached.get(each.form.index) ?? 0) + (length > 0 ? 1 : 0))
    } else counts.faults++
    if (kind === EC_UNDEFINED && (each.pstate & 0xf) !== 0) {
      counts.undefinedFeatures.add(each.form.feature || each.form.mnemonic)
    }
    counts.accesses += length
    const found = this.#whole(each, atOnce)
    found.push(...(await this.#asRam(each, atOnce)))
    const later = async (what: string, answers: Parameters<FormMachine['run']>[1]): Promise<void> => {
      const outcome = await device.run(each, answers)
      counts.runs++
      found.push(...differences(what, outcome, atOnce, true), ...sameLog(what, outcome, atOnce))
    }
    if (length === 0) return found
    await later('later', { kind: 'later' })
    for (let at = 0; at < length; at++) {
      await later(`access ${at} later`, { kind: 'later', which: new Set([at]) })
      await later(`settled at access ${at}`, { kind: 'settle', at })
      await later(`reset at access ${at}`, { kind: 'reset', at })
    }
    return found
  }

  /** The processor makes the same of RAM, with code of its own. */
  async #asRam(each: FormCase, atOnce: Outcome): Promise<string[]> {
    // An abort that the device's neighbour gives comes after the accesses before it.
    const partial = each.pages.some(({ kind }) => kind === 'hole')
    this.counts.runs++
    return differences('device', atOnce, await this.#ram.run(each, { kind: 'at once' }), !partial)
  }

  /** Accesses at multiples of their size are not split. */
  #whole({ address, unit }: FormCase, { log }: Outcome): string[] {
    if (unit === 0 || address % unit !== 0) return []
    const split = log.find((access) => !access.split('=')[0]!.endsWith(`:${unit}`))
    return split === undefined ? [] : [`an aligned access of ${unit} bytes is ${split}`]
  }
}
