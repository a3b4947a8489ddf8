// What the bench `where` makes of what profilers print.
import { describe, expect, test } from 'vitest'
import { describeEmission, type Emission } from '../../bench/real/emission.ts'
import { resultOf } from '../../bench/marked-guest.ts'
import { threadTimes, timeOf } from '../../bench/thread-times.ts'
import { Classes, classOf, tableOf } from '../../bench/where/classes.ts'
import { CodeMap, listedCode, unitBytes } from '../../bench/where/code-map.ts'
import { type Frame, perfSamples, profileSamples, type Sample } from '../../bench/where/samples.ts'
import { sourceNames } from '../../bench/where/sources.ts'

/** Sources as the tests name them: the path of the URL. */
const fileOf = (url: string): string => url.replace('file:///', '')

const READER = {
  rate: 100,
  fileOf,
  nameAt: (address: number, time: number) => (address === 0x7fd4 && time < 71299 ? 'JS:run-3387-turbofan' : undefined),
}

async function read(text: string): Promise<readonly Sample[]> {
  const samples: Sample[] = []
  for await (const sample of perfSamples(text.split('\n'), READER)) samples.push(sample)
  return samples
}

test("the text of perf becomes samples: the thread, the time, and the stack's functions", async () => {
  const text = `MainThread 10/10 71298.47: 
\tffffffff8158c58c do_fault ([kernel.kallsyms])
\t    7fd4 [unknown] (/tmp/perf-10.map)
\t    7fd5 Builtins_JSToWasmWrapper (/usr/bin/node)
\t    7fd6 JS:*'#slice file:///cpu.ts:21351:8 (/tmp/perf-10.map)
\t    7fd7 JS:o+loop file:///cpu.ts:4:1 (/tmp/perf-10.map)

V8 Worker 10/12 71298.5: 
\t    6c1 v8::internal::(anonymous namespace)::Job<Tag, (Mode)0>::Run+0x1f (/usr/bin/node (deleted))
`
  expect(await read(text)).toEqual([
    {
      thread: 'MainThread',
      isMain: true,
      time: 71298.47,
      seconds: 0.01,
      frames: [
        { kind: 'kernel', name: 'do_fault' },
        { kind: 'wasm', name: 'run', index: 3387, tier: 'turbofan' },
        { kind: 'native', name: 'Builtins_JSToWasmWrapper' },
        { kind: 'javascript', name: '#slice', file: 'cpu.ts', tier: 'turbofan' },
        { kind: 'javascript', name: 'loop', file: 'cpu.ts', tier: 'maglev' },
      ],
    },
    {
      thread: 'V8 Worker',
      isMain: false,
      time: 71298.5,
      seconds: 0.01,
      frames: [{ kind: 'native', name: 'v8::internal::(anonymous namespace)::Job<Tag, (Mode)0>::Run' }],
    },
  ])
})

const native = (...names: readonly string[]): readonly Frame[] =>
  names.map((name) => ({ kind: 'native', name: `v8::internal::${name}` }))
const wasm = (name: string, index = 4): Frame => ({ kind: 'wasm', name, index, tier: 'turbofan' })
const javascript = (file: string): Frame => ({ kind: 'javascript', name: 'f', file, tier: 'maglev' })
const run = wasm('run', 3387)
const turn = javascript('packages/x86-cpu/src/vcpu.ts')
const kernel: Frame = { kind: 'kernel', name: 'clear_page' }

describe('a sample belongs to the class of', () => {
  /** Functions of files of packages. */
  const ts = (...files: readonly string[]): readonly Frame[] => files.map((file) => javascript(`packages/${file}`))
  const rows: readonly (readonly [title: string, frames: readonly Frame[], isMain?: boolean])[] = [
    ['interpreter: its main function', [run, turn]],
    ['interpreter: its main function', [kernel, run, turn]],
    // Node executes a module's functions within those that load it.
    ['interpreter: its main function', [run, turn, ...native('SourceTextModule::Evaluate', 'ModuleWrap::Evaluate')]],
    ['interpreter: its other functions', [wasm('slowAddress'), wasm('DIV.4'), run, turn]],
    ['units', [wasm('unit'), run, turn]],
    ['units: leaving them', [wasm('unit', 0), wasm('unit'), run, turn]],
    ['units: functions they call', [wasm('float.add'), wasm('unit'), run, turn]],
    ['Wasm functions that JavaScript calls', [wasm('POPF.8'), ...ts('x86-cpu/src/system/flags.ts'), run]],
    ['emission: our compiler', [...ts('x86-decoder/src/decode.ts', 'engine/src/jit/jit.ts'), run]],
    ['generating the interpreter', [...ts('wasm-emitter/src/function-builder.ts'), turn]],
    ['decoding', [...ts('engine/src/code-cache.ts'), run, turn]],
    ['execute TLB misses', [...ts('paging/src/walk.ts', 'engine/src/code-fetch.ts'), turn]],
    ['TLB misses and walks', ts('paging/src/walk.ts', 'x86-cpu/src/access/pass.ts')],
    ['devices', [...ts('devices/src/serial.ts', 'x86-cpu/src/access/pass.ts'), run]],
    ['system instructions', [...ts('x86-cpu/src/system/msr.ts'), run, turn]],
    ['turns and scheduling', ts('hvm/src/scheduling/run-loop.ts')],
    ['the command, Node and other JavaScript', [javascript('node:internal/timers')]],
    ['V8: Liftoff', [...native('wasm::LiftoffCompiler::LoadMem', 'Runtime_WasmCompileLazy'), wasm('unit'), run]],
    ['V8: TurboFan of Wasm', native('compiler::turboshaft::Analyze', 'wasm::BackgroundCompileJob::Run'), false],
    ['V8: Wasm modules, instances, tables', [...native('wasm::InstanceBuilder'), ...ts('engine/src/jit/unit.ts')]],
    ['V8: TurboFan of JavaScript', native('compiler::GraphReducer', 'OptimizingCompileTaskExecutor::Run'), false],
    ['V8: Maglev', native('maglev::MaglevGraphBuilder::Build'), false],
    ['V8: garbage collection', [...native('Scavenger::ScavengeObject'), run, turn]],
    ['V8: parsing and bytecode', [...native('parsing::ParseProgram'), ...ts('hvm/src/domain.ts')]],
    ['other threads', [{ kind: 'native', name: 'uv__work' }], false],
    ['V8 and Node: others', [{ kind: 'native', name: 'malloc' }]],
  ]
  test.each(rows.map(([title, frames, isMain = true]) => ({ title, frames, isMain })))('$title', (row) => {
    const { title, frames, isMain } = row
    expect(classOf({ thread: 't', isMain, time: 0, seconds: 1, frames })).toBe(title)
  })
})

test('a table has classes by time, what they consist of, and their functions', () => {
  const classes = new Classes()
  const add = (seconds: number, ...frames: readonly Frame[]): void =>
    classes.add({ thread: 'MainThread', isMain: true, time: 0, seconds, frames })
  add(1, wasm('unit'), run)
  add(2, kernel, run, turn)
  add(5, run, turn)
  expect(tableOf(classes, 1)).toEqual([
    '    7.00 s  87.5 %  interpreter: its main function           turbofan 5.00, kernel 2.00',
    '    5.00 s  62.5 %      run',
    '    1.00 s  12.5 %  units                                    turbofan 1.00',
    '    1.00 s  12.5 %      unit',
  ])
  expect([classes.seconds, classes.of('units'), classes.of('decoding')]).toEqual([8, 1, 0])
})

test("V8's own profile becomes samples of the time until the next one, without idle ones", () => {
  const node = (id: number, functionName: string, url: string, children: readonly number[]) => ({
    id,
    callFrame: { functionName, url, lineNumber: 9, columnNumber: 0 },
    children,
  })
  const nodes = [
    node(1, '(root)', '', [2, 3, 5]),
    node(2, '(idle)', '', []),
    node(3, 'slice', 'file:///cpu.ts', [4]),
    node(4, 'run', 'wasm://wasm/01', []),
    node(5, '(garbage collector)', '', []),
  ]
  const profile = { startTime: 5e6, nodes, samples: [4, 2, 3, 5], timeDeltas: [1000, 2000, 3000, 4000] }
  const slice: Frame = { kind: 'javascript', name: 'slice', file: 'cpu.ts', tier: '' }
  const sample = { thread: 'main', isMain: true }
  const found = [...profileSamples(profile, fileOf)]
  expect(found).toEqual([
    { ...sample, time: 5.001, seconds: 0.002, frames: [{ kind: 'wasm', name: 'run', index: NaN, tier: '' }, slice] },
    { ...sample, time: 5.006, seconds: 0.004, frames: [slice] },
    { ...sample, time: 5.01, seconds: 0, frames: [{ kind: 'native', name: '(garbage collector)' }] },
  ])
  expect(found.map(classOf)[2]).toBe('V8: garbage collection')
})

test("what a program printed lies between its own marks, though the next one's, which begins with its name, has come", () => {
  const output = '@begin nbody\r\n1.16\r\n[    1.5] kernel\r\n@end nbody 0.5 0\r\n@begin nbody-x87\r\n'
  expect(resultOf(output, 'nbody')).toBe('1.16')
  expect(resultOf(output.replaceAll('\r', ''), 'nbody')).toBe('1.16')
})

test('the machine code of units is summed up by compiler, where addresses are used again as well', () => {
  const lines = [
    '1000 100 JS:unit-0-liftoff',
    '2000 200 JS:unit-4-liftoff',
    '2200 100 JS:unit-4-turbofan',
    '2200 100 JS:unit-4-turbofan',
    '3000 80 JS:unit-4-liftoff',
    '4000 900 JS:run-3387-turbofan',
    '3000 100 JS:unit-4-liftoff',
    '3100 90 JS:unit-4-turbofan',
    'not a line',
  ]
  const liftoff = 0x200 + 0x80 + 0x100
  expect(unitBytes(listedCode(lines.join('\n')))).toEqual({ liftoff, turbofan: 0x190, optimized: 0x300 / liftoff })
  expect(unitBytes([])).toEqual({ liftoff: 0, turbofan: 0, optimized: 0 })
})

test('an address stands for the code that lay there at the time', () => {
  const UPTIME = 71_000
  const record = (id: number, seconds: number, address: number, name: string): Buffer => {
    const text = Buffer.from(`${name}\0code`)
    const head = Buffer.alloc(56)
    head.writeUInt32LE(id, 0)
    head.writeUInt32LE(head.length + text.length, 4)
    head.writeBigUInt64LE(BigInt((UPTIME + seconds) * 1e9), 8)
    head.writeBigUInt64LE(BigInt(address), 32)
    head.writeBigUInt64LE(0x2000n, 40)
    return Buffer.concat([head, text])
  }
  const head = Buffer.alloc(40)
  head.writeUInt32LE(0x4a69_5444, 0)
  head.writeUInt32LE(40, 8)
  const [first, second] = [record(0, 1, 0x7fff_0000_0800, 'first'), record(0, 2, 0x7fff_0000_2000, 'second')]
  // Node 26 writes more bytes than a record's size tells, or fewer.
  const longer = Buffer.concat([record(2, 1.5, 0, 'no code'), Buffer.alloc(3)])
  const shorter = record(2, 1.5, 0, 'no code')
  shorter.writeUInt32LE(shorter.length + 9, 4)
  const map = new CodeMap(Buffer.concat([head, first, longer, first, shorter, second, second.subarray(0, 20)]))
  expect(map.all.map(({ name }) => name)).toEqual(['first', 'first', 'second'])
  const at = (offset: number, ...times: readonly number[]): readonly (string | undefined)[] =>
    times.map((time) => map.nameAt(0x7fff_0000_0000 + offset, UPTIME + time))
  expect([at(0x7ff, 3), at(0x3fff, 2), at(0x4000, 2)]).toEqual([[undefined], ['second'], [undefined]])
  expect(at(0x27ff, 0.5, 1, 1.9, 2, 3)).toEqual([undefined, 'first', 'first', 'second', 'second'])
  expect(new CodeMap(Buffer.alloc(0)).all).toEqual([])
})

test('emission is told by instruction, of several runs together; code of TurboFan by the instructions that it has compiled', () => {
  const emission = (emitted: number, seconds: number, optimized: number): Emission => ({
    emitted,
    distinct: emitted / 2,
    parts: new Map([['TurboFan', seconds]]),
    bytes: { liftoff: 100 * emitted, turbofan: 60 * emitted * optimized, optimized },
  })
  expect(describeEmission('emission', [emission(10_000, 0.4, 0.5), emission(30_000, 0.8, 1)])).toEqual([
    'emission: 30.0 us an instruction (TurboFan 30.0; 40000 emitted, 20000 distinct, in 1.20 s)',
    "emission, machine code: 100 bytes an instruction of Liftoff's, 60 bytes of TurboFan's, which has compiled 88 % of them",
  ])
  expect(describeEmission('emission', [])).toEqual([])
})

test('a line of /proc has the name of a thread, with parentheses of its own, and its processor time', () => {
  const text = '7 (a) S (b) R 1 7 7 0 -1 4194304 90 0 0 0 150 25 0 0 20 0 1 0 9 0 0\n'
  expect(timeOf(text)).toEqual({ name: 'a) S (b', seconds: 1.75 })
  const [times, used] = [threadTimes(process.pid), process.cpuUsage()]
  const sum = [...times.values()].reduce((a, b) => a + b, 0)
  // Each thread's time is in steps of 10 ms; threads that have ended are left out.
  expect(sum).toBeLessThan((used.user + used.system) / 1e6 + 0.5)
  expect(threadTimes(2 ** 30).size).toBe(0)
})

test('a place in a module without a source map has the name of the module', () => {
  const name = sourceNames()
  expect(name('node:fs', 1, 1)).toBe('node:fs')
  expect(name(import.meta.url, 3, 1)).toBe('apps/retrap/test/bench/where.test.ts')
})
