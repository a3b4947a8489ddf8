import { describe, expect, test } from 'vitest'
import { classOf } from '../../bench/where/classes.ts'
import { type Frame, perfSamples, type Sample } from '../../bench/where/samples.ts'

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
  const ts = (...files: readonly string[]): readonly Frame[] => files.map((file) => javascript(`packages/${file}`))
  const rows: readonly (readonly [title: string, frames: readonly Frame[], isMain?: boolean])[] = [
    ['interpreter: its main function', [run, turn]],
    ['interpreter: its main function', [kernel, run, turn]],
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
