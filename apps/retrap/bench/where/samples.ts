// Samples of a run's threads, as Debian's perf takes them, or V8's own profiler: what was executed, and who had called it.

/** A function on a stack. */
export type Frame =
  | {
      readonly kind: 'wasm'
      readonly name: string
      /** Number of the function in its module; NaN where the profiler does not tell. */
      readonly index: number
      /** What has compiled it: liftoff or turbofan; empty where the profiler does not tell. */
      readonly tier: string
    }
  | {
      readonly kind: 'javascript'
      readonly name: string
      /** The source file, as {@link FileOf} names it. */
      readonly file: string
      /** What executes it: ignition, sparkplug, maglev or turbofan; empty where the profiler does not tell. */
      readonly tier: string
    }
  /** C++ of V8 and Node, built-in functions of V8, libraries. */
  | { readonly kind: 'native'; readonly name: string }
  /** The host's kernel. */
  | { readonly kind: 'kernel'; readonly name: string }

/** What a thread executed at one moment. */
export interface Sample {
  /** The thread's name. */
  readonly thread: string
  /** Whether it is the process's first thread. */
  readonly isMain: boolean
  /** Seconds of the host's monotonic clock. */
  readonly time: number
  /** Seconds of processor time that the sample stands for. */
  readonly seconds: number
  /** From the innermost function out. */
  readonly frames: readonly Frame[]
}

/** Returns the source of a place in a module, by the module's URL; line and column count from 1. */
export type FileOf = (url: string, line: number, column: number) => string

/** A thread's name, the ids of its process and of itself, and the time. */
const HEADER = /^\s*(\S.*?)\s+(\d+)\/(\d+)\s+(\d+\.\d+):/
/** An address, a symbol, which may be of several words, and the file that has it, in parentheses. */
const FRAME = /^\s+([0-9a-f]+) (.*?)(?:\+0x[0-9a-f]+)? \(([^()]*(?:\(deleted\))?)\)$/
const UNKNOWN = '[unknown]'
const KERNEL = /^\[(?:kernel|guest\.kernel|unknown_kernel)|\.ko(?:\.\w+)?$/
/** V8's names of code: NAME-INDEX-TIER of Wasm. */
const WASM = /^JS:(.*)-(\d+)-(liftoff|turbofan)$/
/** A sign of the tier, with `o` before it where a loop was entered midway, the name, the URL, line and column. */
const JAVASCRIPT = /^JS:o?([~^+*]?)'?(.*?) ?((?:file|node):.*):(\d+):(\d+)$/
const TIERS: Readonly<Record<string, string>> = { '~': 'ignition', '^': 'sparkplug', '+': 'maglev', '*': 'turbofan' }

/** What samples are read with. */
export interface SampleReader {
  /** Samples a second of processor time. */
  readonly rate: number
  readonly fileOf: FileOf
  /** V8's name of the code that lay at an address at a time. */
  readonly nameAt: (address: number, time: number) => string | undefined
}

/**
 * Reads what `perf script -F comm,pid,tid,time,ip,sym,dso` prints of a run of Node.
 *
 * @param lines - without their ends; an empty line ends a sample
 */
export async function* perfSamples(
  lines: Iterable<string> | AsyncIterable<string>,
  { rate, fileOf, nameAt }: SampleReader,
): AsyncGenerator<Sample> {
  // Most frames come thousands of times.
  const known = new Map<string, Frame>()
  let head: RegExpExecArray | null = null
  let frames: Frame[] = []
  const sample = ([, thread = '', pid, tid, time]: RegExpExecArray): Sample => {
    return { thread, isMain: pid === tid, time: Number(time), seconds: 1 / rate, frames }
  }
  for await (const line of lines) {
    if (line.trim() === '') {
      if (head !== null) yield sample(head)
      head = null
      frames = []
    } else if (head === null) {
      head = HEADER.exec(line)
    } else {
      const [, address = '', printed = '', file = ''] = FRAME.exec(line) ?? []
      const code = printed === UNKNOWN ? nameAt(Number.parseInt(address, 16), Number(head[4])) : undefined
      const symbol = code ?? printed
      const key = `${symbol} ${file}`
      let frame = known.get(key)
      if (frame === undefined) known.set(key, (frame = frameOf(symbol, file, fileOf)))
      frames.push(frame)
    }
  }
  if (head !== null) yield sample(head)
}

function frameOf(symbol: string, file: string, fileOf: FileOf): Frame {
  if (KERNEL.test(file)) return { kind: 'kernel', name: symbol }
  const wasm = WASM.exec(symbol)
  if (wasm !== null) return { kind: 'wasm', name: wasm[1] ?? '', index: Number(wasm[2]), tier: wasm[3] ?? '' }
  const [, sign = '', name = '', url = '', line, column] = JAVASCRIPT.exec(symbol) ?? []
  if (url === '') return { kind: 'native', name: symbol }
  return { kind: 'javascript', name, file: fileOf(url, Number(line), Number(column)), tier: TIERS[sign] ?? '' }
}

/** What `node --cpu-prof` writes, as far as it is read here: times are in microseconds. */
export interface CpuProfile {
  readonly startTime: number
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: {
      readonly functionName: string
      readonly url: string
      readonly lineNumber: number
      readonly columnNumber: number
    }
    readonly children?: readonly number[]
  }[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

/** Reads a profile of the first thread by V8's own profiler: it does not tell what V8 itself executes, nor other threads. */
export function* profileSamples(profile: CpuProfile, fileOf: FileOf): Generator<Sample> {
  const parents = new Map(profile.nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id])))
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]))
  const stacks = new Map<number, readonly Frame[]>()
  const stackOf = (id: number | undefined): readonly Frame[] => {
    const node = id === undefined ? undefined : nodes.get(id)
    if (id === undefined || node === undefined) return []
    let stack = stacks.get(id)
    if (stack === undefined) {
      const { functionName: name, url, lineNumber, columnNumber } = node.callFrame
      const outer = stackOf(parents.get(id))
      stack = name === '(root)' ? outer : [profiledFrame(name, url, lineNumber + 1, columnNumber + 1, fileOf), ...outer]
      stacks.set(id, stack)
    }
    return stack
  }
  let time = profile.startTime
  for (const [i, id] of profile.samples.entries()) {
    time += profile.timeDeltas[i] ?? 0
    if (nodes.get(id)?.callFrame.functionName === '(idle)') continue
    // A sample stands for the time until the next one.
    const seconds = (profile.timeDeltas[i + 1] ?? 0) / 1e6
    yield { thread: 'main', isMain: true, time: time / 1e6, seconds, frames: stackOf(id) }
  }
}

function profiledFrame(name: string, url: string, line: number, column: number, fileOf: FileOf): Frame {
  if (url.startsWith('wasm:')) return { kind: 'wasm', name, index: NaN, tier: '' }
  if (url === '') return { kind: 'native', name }
  return { kind: 'javascript', name, file: fileOf(url, line, column), tier: '' }
}
