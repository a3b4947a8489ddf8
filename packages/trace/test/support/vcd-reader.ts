/** Reads a Value Change Dump. Source: IEEE Std 1364-2001, 18.2, "Format of the four-state VCD file". */

export interface ReadVariable {
  readonly type: string
  readonly bits: number
}

/** A change: the time, the variable by its scopes and its name, and the value as the file has it. */
export type ReadChange = readonly [time: number, path: string, value: string]

/** The parts of a file. */
export interface ReadVcd {
  readonly timescale: string
  readonly variables: ReadonlyMap<string, ReadVariable>
  /** Changes behind the first values. */
  readonly changes: readonly ReadChange[]
  /** Times as the file has them. */
  readonly times: readonly number[]
}

const VALUE = /^(?:([01xz])|b([01xz]+) |s(\S*) )([!-~]+)$/

/** @throws Error for a line that is not of the format */
export function readVcd(text: string): ReadVcd {
  const [head = '', body = '', ...more] = text.split('$enddefinitions $end\n')
  if (more.length > 0 || !text.endsWith('\n')) throw new Error('the file is not whole')
  const scopes: string[] = []
  const byCode = new Map<string, { readonly path: string; readonly bits: number }>()
  const variables = new Map<string, ReadVariable>()
  let timescale = ''
  for (const [, keyword, rest = ''] of head.matchAll(/\$(\w+)(?:\s+([^]*?))?\s*\$end\n/gy)) {
    const words = rest.split(/\s+/)
    if (keyword === 'timescale') timescale = rest
    else if (keyword === 'scope') scopes.push(words[1] ?? '')
    else if (keyword === 'upscope') scopes.pop()
    else if (keyword === 'var') {
      const [type = '', bits = '', code = '', name = ''] = words
      const path = [...scopes, name].join('.')
      if (byCode.has(code) || variables.has(path)) throw new Error(`${code} ${path} is there twice`)
      byCode.set(code, { path, bits: Number(bits) })
      variables.set(path, { type, bits: Number(bits) })
    } else if (keyword !== 'version' && keyword !== 'date') throw new Error(`$${keyword}`)
  }
  if (scopes.length > 0) throw new Error(`${scopes.join('.')} has no end`)
  const changes: ReadChange[] = []
  const times: number[] = []
  let isFirst = false
  for (const line of body.trimEnd().split('\n')) {
    if (line === '$dumpvars') isFirst = true
    else if (line === '$end' && isFirst) isFirst = false
    else if (line.startsWith('#')) times.push(Number(line.slice(1)))
    else {
      const [, scalar, vector, string, code = ''] = VALUE.exec(line) ?? []
      const variable = byCode.get(code)
      const value = scalar ?? vector ?? string
      if (variable === undefined || value === undefined || times.length === 0) throw new Error(`'${line}'`)
      if (vector !== undefined && vector.length > variable.bits) throw new Error(`${line}: of ${variable.bits} bits`)
      if (!isFirst) changes.push([times.at(-1) ?? 0, variable.path, value])
    }
  }
  return { timescale, variables, changes, times }
}

/** The values of a variable one after the other, each with its time. */
export const changesOf = (vcd: ReadVcd, path: string): (readonly [time: number, value: string])[] =>
  vcd.changes.flatMap(([time, other, value]) => (other === path ? [[time, value] as const] : []))
