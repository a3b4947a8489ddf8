// What the processor time of a run was spent on: each sample belongs to one class.
import type { Frame, Sample } from './samples.ts'

/** Classes of which emission consists: all that a unit costs before it executes. */
export const EMISSION = {
  compiler: 'emission: our compiler',
  turbofan: 'V8: TurboFan of Wasm',
  liftoff: 'V8: Liftoff',
  instances: 'V8: Wasm modules, instances, tables',
  collection: 'V8: garbage collection',
} as const

/** Classes, by what the innermost frames of C++ say: the first that fits. */
const NATIVE: readonly (readonly [title: string, pattern: RegExp, where?: 'main' | 'other'])[] = [
  [
    EMISSION.collection,
    /Scaveng|MarkCompact|Sweeper|IncrementalMarking|ConcurrentMarking|CollectGarbage|Evacuat|MinorMark|\(garbage collector\)/,
  ],
  ['the profiler itself', /PerfBasicLogger|LogFile|LogEventsAndTags|LinuxPerf|CodeCreateEvent|ExternalCodeEvent/],
  [EMISSION.liftoff, /wasm::(?:.*Liftoff|CompileLazy)|Runtime_WasmCompileLazy/],
  [EMISSION.turbofan, /wasm::.*(?:Turboshaft|Turbofan|TriggerTierUp)|WasmTurboshaft/],
  [EMISSION.turbofan, /wasm::[^]*(?:turboshaft|compiler)::|(?:turboshaft|compiler)::[^]*wasm::/i, 'other'],
  [EMISSION.instances, /wasm::|Wasm|WebAssembly/],
  ['V8: Maglev', /maglev/i],
  ['V8: Sparkplug', /baseline::|Runtime_CompileBaseline/],
  ['V8: TurboFan of JavaScript', /compiler::|Optimiz(?:ed|ing)Compil|Runtime_CompileOptimized|turboshaft::/],
  ['V8: when to compile JavaScript', /TieringManager|BytecodeBudget|InstallOptimized/, 'main'],
  ['V8: deoptimisation', /Deoptimize/],
  [
    'V8: parsing and bytecode',
    /Compiler::|parsing::|Parser|Runtime_CompileLazy|BytecodeGenerator|CodeSerializer|SourceTextModule|ModuleWrap|CompileCache/,
  ],
]

/** Classes of JavaScript, by the files of all functions on the stack: the first that fits. */
const FILES: readonly (readonly [title: string, pattern: RegExp])[] = [
  [EMISSION.compiler, /^packages\/engine\/src\/jit\//],
  ['generating the interpreter', /^packages\/(?:wasm-emitter\/src|(?:x86|arm)-cpu\/src\/semantics)\//],
  [
    'decoding',
    /-decoder\/src\/|engine\/src\/(?:code-(?:cache|page|killer)|record)|src\/interpreter\/(?:record-|lower)/,
  ],
  ['execute TLB misses', /engine\/src\/code-fetch|instruction-fetch|access\/code-space/],
  [
    'TLB misses and walks',
    /^packages\/paging\/|engine\/src\/(?:tlb|parked|writable)|access\/(?:translation|address-sp)/,
  ],
  ['events and interrupts', /event-delivery|outside-events/],
  ['devices', /^packages\/(?:devices|device|irqchip|ioreq|virtio|vapic|block|network|display|usb|scsi)\//],
  ['other accesses to memory', /-cpu\/src\/access\/|^packages\/(?:memory|p2m|mapcache)\//],
  ['system instructions', /-cpu\/src\/system\//],
  ['turns and scheduling', /^packages\/(?:hvm|engine|x86-cpu|arm-cpu)\//],
]

const MAIN_FUNCTION = 'run'
const UNIT = 'unit'

/** Returns a sample's class. */
export function classOf({ isMain, frames }: Sample): string {
  const first = frames.findIndex(({ kind }) => kind === 'wasm' || kind === 'javascript')
  // What had called JavaScript or Wasm does not count: Node executes a program within the functions that load its modules.
  const own = first < 0 ? frames : frames.slice(0, first)
  const native = own.flatMap((frame) => (frame.kind === 'native' && !isBuiltin(frame) ? [frame.name] : [])).join(' ')
  const thread = isMain ? 'main' : 'other'
  const found = NATIVE.find(([, pattern, where = thread]) => where === thread && pattern.test(native))
  if (found !== undefined) return found[0]
  const inner = frames[first]
  if (inner?.kind === 'wasm') return classOfWasm(inner, frames)
  const files = frames.flatMap((frame) => (frame.kind === 'javascript' ? [frame.file] : []))
  const class_ = FILES.find(([, pattern]) => files.some((file) => pattern.test(file)))
  if (class_ !== undefined) return class_[0]
  if (files.length > 0) return 'the command, Node and other JavaScript'
  if (frames.some(({ name }) => name === '(program)')) return 'V8, Node and the kernel'
  if (frames[0]?.kind === 'kernel') return 'the kernel, for V8 and Node'
  return isMain ? 'V8 and Node: others' : 'other threads'
}

/** A built-in of V8 is a part of what calls it. */
const isBuiltin = ({ name }: Frame): boolean => /^(?:Builtins?[_:]|Bytecode|Stub:|RegExp:)/.test(name)

function classOfWasm(inner: Frame & { readonly kind: 'wasm' }, frames: readonly Frame[]): string {
  if (inner.name === MAIN_FUNCTION) return `interpreter: its main function`
  if (inner.name === UNIT) return inner.index === 0 ? 'units: leaving them' : 'units'
  const caller = frames
    .slice(frames.indexOf(inner) + 1)
    .find((frame) => frame.kind === 'javascript' || (frame.kind === 'wasm' && isEntry(frame.name)))
  if (caller?.kind === 'wasm' && caller.name === UNIT) return 'units: functions they call'
  return caller?.kind === 'javascript' ? 'Wasm functions that JavaScript calls' : 'interpreter: its other functions'
}

const isEntry = (name: string): boolean => name === MAIN_FUNCTION || name === UNIT

/** What a class is made of: the threads of V8's classes; of others the kernel, and who had compiled what was executed. */
function detailOf({ thread, isMain, frames }: Sample, title: string): string {
  if (title.startsWith('V8: ')) return thread
  if (frames[0]?.kind === 'kernel') return 'kernel'
  const code = frames.find(({ kind }) => kind === 'wasm' || kind === 'javascript')
  if (code !== undefined && 'tier' in code && code.tier !== '') return code.tier
  return isMain ? '' : thread
}

/** Seconds of a class. */
export interface ClassTime {
  readonly title: string
  seconds: number
  /** Of them, by who had compiled what was executed, or the thread. */
  readonly details: Map<string, number>
  /** Of them, by the innermost function. */
  readonly functions: Map<string, number>
}

/** Sums samples up by class. */
export class Classes {
  readonly #classes = new Map<string, ClassTime>()

  /** Counts a sample. */
  add(sample: Sample): void {
    const title = classOf(sample)
    let found = this.#classes.get(title)
    if (found === undefined) {
      found = { title, seconds: 0, details: new Map(), functions: new Map() }
      this.#classes.set(title, found)
    }
    found.seconds += sample.seconds
    count(found.details, detailOf(sample, title), sample.seconds)
    count(found.functions, nameOf(sample.frames[0]), sample.seconds)
  }

  /** The classes with the most time first. */
  all(): readonly ClassTime[] {
    return [...this.#classes.values()].toSorted((a, b) => b.seconds - a.seconds)
  }

  /** Seconds of a class; 0 of one that has no sample. */
  of(title: string): number {
    return this.#classes.get(title)?.seconds ?? 0
  }

  /** Seconds of all classes. */
  get seconds(): number {
    return this.all().reduce((sum, { seconds }) => sum + seconds, 0)
  }
}

const count = (into: Map<string, number>, key: string, seconds: number): void => {
  into.set(key, (into.get(key) ?? 0) + seconds)
}

function nameOf(frame: Frame | undefined): string {
  if (frame === undefined) return '?'
  return frame.kind === 'javascript' ? `${frame.name || '(anonymous)'} of ${frame.file}` : frame.name
}

const LONGEST_NAME = 100

/** The lines of a table of classes. @param functions - how many of each class's functions are listed */
export function tableOf(classes: Classes, functions = 0): readonly string[] {
  const all = classes.seconds
  const line = (seconds: number, title: string, rest: string): string =>
    `${seconds.toFixed(2).padStart(8)} s ${((100 * seconds) / all).toFixed(1).padStart(5)} %  ${title.padEnd(40)} ${rest}`.trimEnd()
  return classes.all().flatMap(({ title, seconds, details, functions: within }) => {
    const parts = longest(details)
      .filter(([name]) => name !== '')
      .map(([name, time]) => `${name} ${time.toFixed(2)}`)
    const inner = longest(within).slice(0, functions)
    // Names of C++ templates may have hundreds of characters.
    const lines = inner.map(([name, time]) => line(time, `    ${name.slice(0, LONGEST_NAME)}`, ''))
    return [line(seconds, title, parts.join(', ')), ...lines]
  })
}

const longest = (times: ReadonlyMap<string, number>): readonly (readonly [string, number])[] =>
  [...times].toSorted(([, a], [, b]) => b - a)
