import { didYouMean } from '../options/nearest.ts'
import { parseWhole, usage, type DeviceArgument } from '../options/values.ts'

const MOST_DECIMAL = 9999

/** Reads the properties of one device, with their defaults. */
export class Properties {
  readonly #argument: DeviceArgument

  constructor(argument: DeviceArgument) {
    this.#argument = argument
  }

  text(key: string, otherwise: string): string {
    return this.#argument.properties.get(key) ?? otherwise
  }

  whole(key: string, otherwise: number, most: number, least = 0): number {
    const text = this.#argument.properties.get(key)
    if (text === undefined) return otherwise
    const value = parseWhole(text)
    if (value === undefined || value < least || value > most) {
      // Ports and large numbers are known in hexadecimal, sizes and counts in decimal.
      const shown = (limit: number): string => (most > MOST_DECIMAL ? `0x${limit.toString(16)}` : String(limit))
      const range = least === 0 ? `0 to ${shown(most)}` : `${shown(least)} to ${shown(most)}`
      throw usage(`--device ${this.#argument.name}: ${key}=${text} is not a number from ${range}`)
    }
    return value
  }

  /** `on` or `off`; undefined where it is not given. */
  flag(key: string): boolean | undefined {
    const text = this.#argument.properties.get(key)
    if (text === undefined) return undefined
    if (text !== 'on' && text !== 'off') throw usage(`--device ${this.#argument.name}: ${key}=${text} is not on or off`)
    return text === 'on'
  }

  /** Refuses properties that a device does not have. */
  check(known: readonly string[]): void {
    const { name, properties } = this.#argument
    for (const key of properties.keys()) {
      if (!known.includes(key))
        throw usage(`--device ${name} has no '${key}'; it has ${known.join(', ')}${didYouMean(key, known)}`)
    }
  }
}
