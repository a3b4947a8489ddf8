const TIME = /^(\d+(?:\.\d+)?|\.\d+) ?(ns|us|µs|ms|s|m|min|h)$/i
const NANOSECONDS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  min: 60e9,
  h: 3600e9,
}

/** Returns the nanoseconds of a time with its unit, such as `500ms`, `1.5s` or `10m`; undefined: it is none. */
export function nanosecondsOf(text: string): number | undefined {
  const [, amount, unit = ''] = TIME.exec(text.trim()) ?? []
  return amount === undefined ? undefined : Number(amount) * NANOSECONDS[unit.toLowerCase()]!
}

/** Returns the seconds of a time: a number of seconds, or a number with its unit; undefined for other text. */
export function secondsIn(text: string): number | undefined {
  const seconds = (nanosecondsOf(text) ?? (text.trim() === '' ? Number.NaN : Number(text) * 1e9)) / 1e9
  return seconds >= 0 && seconds < Infinity ? seconds : undefined
}
