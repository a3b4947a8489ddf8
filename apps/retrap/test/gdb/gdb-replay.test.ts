// gdb of Debian goes backwards: through a recording, and in a machine that is recorded just now, and on again.
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { sliceTests } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { beforeAll, describe, expect } from 'vitest'
import { retrapCommand } from '../support/processes.ts'
import { debuggedGuest } from './guest.ts'
import { DEADLINE_MS, debugScripted } from './scripted-gdb.ts'

const test = sliceTests(4)
const { bytes, at } = debuggedGuest(false)
const ARM_GUEST = join(import.meta.dirname, 'arm-guest.s')

/** Boards, the guest on each, and places in it. */
const BOARDS = [
  {
    programs: ['gdb'],
    gdb: { gdb: 'gdb', before: ['set architecture i386:x86-64'] },
    run: ['--memory', '4M', '--firmware'],
    make: (image: string) => writeFileSync(image, bytes),
    code: { call: 0xf01b5, store: at('function'), behind: at('function') + 8, undefined: 0xf01bc },
    ends: { first: 0xfff0, second: 0, last: 0xf01dc, instructions: 981, ns: 1136 },
    data: { address: at('data'), register: '$rcx', writer: 966 },
    stops: [
      { at: 'msr 0xc0000080 write', is: 'MSR 0xc0000080, write', told: 'MSR 0xc0000080: written, 0x100' },
      { at: 'exception #UD', is: 'handler of #UD', told: 'the handler of #UD is next, error code 0x0' },
    ],
    stopped: { forwards: [0xf0097, 0xf01e1], back: [0xf01bc, 0xf0095], fault: '#UD' },
    // The last thing that gdb saw is what ends the replay, as it ends a run without gdb.
    end: { status: 86, stderr: expect.stringMatching(/triple fault on[^]*RIP {4}0{11}f01dc/) as unknown },
  },
  {
    programs: ['gdb-multiarch', 'aarch64-linux-gnu-gcc'],
    gdb: { gdb: 'gdb-multiarch', before: ['set architecture aarch64'] },
    run: ['--arch', 'arm64', '--memory', '16M', '--kernel'],
    make(image: string) {
      const flags = ['-nostdlib', '-static', '-Wl,-Ttext=0x40080000', '-Wl,--build-id=none', '-Wa,--defsym,ENDS=1']
      expect(spawnSync('aarch64-linux-gnu-gcc', [...flags, '-o', image, ARM_GUEST])).toMatchObject({ status: 0 })
    },
    code: { call: 0x4008_007c, store: 0x4008_00a4, behind: 0x4008_00a8, undefined: 0x4008_008c },
    ends: { first: 0x4008_0000, second: 0x4008_0004, last: 0x4008_009c, instructions: 948, ns: 1076 },
    data: { address: 0x4008_3000, register: '$x19', writer: 923 },
    stops: [
      ['svc', '0x56000005'],
      ['undefined', '0x2000000'],
    ].map(([name, code]) => ({
      ...{ at: `exception ${name}`, is: `handler of ${name}` },
      told: `the handler of ${name} is next, error code ${code}`,
    })),
    stopped: { forwards: [0x4008_0a00, 0x4008_0a00], back: [0x4008_008c, 0x4008_0a00], fault: 'undefined' },
    end: { status: 0, stderr: expect.stringMatching(/^retrap: as recorded .*\n$/) as unknown },
  },
]

const NO_MORE = 'No more reverse-execution history.'
/** A place, as gdb prints it. */
const there = (address: number): string => `0x${address.toString(16).padStart(16, '0')} in ?? ()`

for (const board of BOARDS) {
  const missing = board.programs.filter((name) => !hasProgram(name))
  const note = skipNote(missing.length === 0, `${missing.join(' and ')} not installed`)
  describe.skipIf(missing.length > 0)(`${board.gdb.gdb}${note}`, { timeout: 4 * DEADLINE_MS }, () => {
    const folder = temporaryFolder('gdb-replay')
    const [recording, image] = [join(folder, 'run.rec'), join(folder, 'guest')]
    const RUN = ['run', ...board.run, image, '--no-reboot', '--record']
    const { stops, stopped } = board
    const { call, store, behind } = board.code
    const { first, second, last, instructions, ns } = board.ends
    const { address, register, writer } = board.data
    const data = `*(long *) ${address}`

    beforeAll(() => {
      board.make(image)
      const args = retrapCommand([...RUN, recording, '--timeout', '60'])
      const { stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', input: '' })
      expect(stderr).toContain('recorded')
    })

    const machine = (port: number): readonly [string, readonly string[]] => [
      process.execPath,
      retrapCommand(['replay', recording, '--', '--gdb', `tcp:${port},wait`]),
    ]
    /** Runs a script. @param file - the guest's symbols @returns what gdb prints, and then what it is told */
    const debug = async (script: string, debugged = machine, file?: string): Promise<string[]> => {
      const before = [...board.gdb.before, ...(file === undefined ? [] : [`file ${file}`])]
      const printed = await debugScripted(
        { ...board.gdb, before },
        debugged,
        script.split('; '),
        folder,
        2 * DEADLINE_MS,
      )
      const lines = printed.flatMap((text) => text.split('\n').map((line) => line.trim()))
      return lines.filter((line) => line !== '' && !/^warning|^determining/.test(line))
    }

    const live = join(folder, 'live.rec')
    /** A machine that is recorded just now. */
    const recorded = (port: number): readonly [string, readonly string[]] => [
      process.execPath,
      retrapCommand([...RUN, live, '--gdb', `tcp:${port}`, '--timeout', '60']),
    ]

    test.each([
      ['in a recording', machine],
      ['in a machine that is recorded just now', recorded],
    ])('a counter goes down, back up and down again, and so do steps and breakpoints: %s', async (_, debugged) => {
      const back = `continue; continue; reverse-continue; reverse-continue; print/x $pc; reverse-stepi; print/x $pc; stepi`
      const again = `reverse-continue; print ${register}; delete 3; reverse-continue; print ${data}; continue; continue; continue`
      const script = `hbreak *${store}; continue; continue; delete; watch ${data}; ${back}; print/x $pc; hbreak *${store}`
      const end = `print ${data}; continue; print ${data}; delete; continue`
      const lines = await debug(`${script}; ${again}; ${end}`, debugged)
      const watched = `Hardware watchpoint 2: ${data}`
      const changed = (from: number, to: number, place: number): string[] => [
        ...[watched, `Old value = ${from}`, `New value = ${to}`],
        ...(place === first ? [] : [there(place)]),
      ]
      expect(lines).toEqual([
        `Hardware assisted breakpoint 1 at 0x${store.toString(16)}`,
        ...[`Breakpoint 1, ${there(store)}`, `Breakpoint 1, ${there(store)}`, watched],
        ...[...changed(100, 99, behind), ...changed(99, 98, behind), ...changed(98, 99, store)],
        ...changed(99, 100, store),
        ...[`$1 = 0x${store.toString(16)}`, there(call), `$2 = 0x${call.toString(16)}`],
        ...[there(store), `$3 = 0x${store.toString(16)}`, `Hardware assisted breakpoint 3 at 0x${store.toString(16)}`],
        ...[...changed(100, 0, first), `Breakpoint 3, ${there(store)}`, '$4 = 100', NO_MORE, there(first), '$5 = 0'],
        ...[...changed(0, 100, behind), ...changed(100, 99, behind), ...changed(99, 98, behind), '$6 = 98'],
        ...[...changed(98, 97, behind), '$7 = 97', NO_MORE, there(last)],
      ])
      if (debugged === machine) return
      const replay = spawnSync(process.execPath, retrapCommand(['replay', live]), { encoding: 'utf8', input: '' })
      expect(replay).toMatchObject(board.end)
    })

    test('a recording ends on both sides', async () => {
      const lines = await debug(`continue; print ${data}; reverse-continue; print/x $pc; reverse-stepi; stepi`)
      const begin = [NO_MORE, there(first)]
      const [one, two] = ['$1 = 1', `$2 = 0x${first.toString(16)}`]
      expect(lines).toEqual([NO_MORE, there(last), one, ...begin, two, ...begin, there(second)])
    })

    test('monitor goes to places, and says who wrote a byte', async () => {
      const who = ['', ` ${address} 8`, ` ${address}@p 8`, ` ${address + 0x800}`, ' 0xfffffffff0000000']
      const asked = who.map((place) => `monitor who-wrote${place}`).join('; ')
      const ways = 'monitor goto 3; maintenance flush register-cache; monitor goto 500ns; monitor goto nowhere'
      const lines = await debug(`monitor when; monitor goto end; ${asked}; ${ways}; monitor marks; stepi; monitor when`)
      const shown = 'gdb shows it after: maintenance flush register-cache'
      const by = `the instruction at 0x${store.toString(16)} of CPU 0: monitor goto ${writer}`
      const when = (count: number, at: number): string => `instruction ${count} of ${instructions}, at ${at} ns`
      expect(lines).toEqual([
        ...[there(second), when(0, 0), when(instructions, ns), shown],
        'write who-wrote and an address, ADDRESS@p or a name that is known, and perhaps how many bytes',
        ...[by, by, 'nobody since power-on'],
        '0xfffffffff0000000: there is no memory at this linear address',
        ...[when(3, 3), shown, when(0, 0), shown],
        `nowhere: write an instruction from 0 to ${instructions}, a time such as 1500ns, a mark, begin or end`,
        ...['There is no mark.', when(1, 1)],
      ])
    })

    test('registers and exceptions stop it in both directions', async () => {
      const set = stops.map((stop) => `monitor break ${stop.at}`).join('; ')
      const caught = `monitor delete all; monitor catch ${stopped.fault}; continue; reverse-continue`
      const ways = 'continue; continue; print/x $pc; continue; reverse-continue; print/x $pc; reverse-continue'
      const lines = await debug(`${set}; ${ways}; reverse-continue; ${caught}`)
      const at = (place: number, signal = 'SIGTRAP, Trace/breakpoint trap'): string[] => [
        ...[`Program received signal ${signal}.`, there(place)],
      ]
      const [[forwards = 0, behind = 0], [back = 0, before = 0]] = [stopped.forwards, stopped.back]
      const [one, two] = stops.map((stop) => stop.told)
      expect(lines).toEqual([
        ...[...at(forwards), ...at(behind), `$1 = 0x${behind.toString(16)}`, NO_MORE, there(last)],
        ...[...at(back), `$2 = 0x${back.toString(16)}`, ...at(before), NO_MORE, there(first)],
        ...[...at(board.code.undefined, 'SIGILL, Illegal instruction'), NO_MORE, there(first)],
        ...[`1: ${stops[0]!.is}`, `2: ${stops[1]!.is}`, one, two, two, one],
        ...['There is no such stop.', `Caught: ${stopped.fault}`],
      ])
    })

    // The image of the PC's guest has no symbols, without which gdb does not see what is a call.
    test.skipIf(!board.run.includes('--kernel'))('gdb steps over a call and out of it, forwards and back', async () => {
      const steps = 'continue; delete; nexti; reverse-nexti; stepi; stepi; finish; reverse-stepi; reverse-finish'
      const lines = await debug(`hbreak *${call}; continue; ${steps}; print ${register}`, machine, image)
      const at = (place: number, name: string): string => there(place).replace('??', name)
      const [calls, returned] = [at(call, '_start'), at(call + 4, '_start')]
      expect(lines.slice(1)).toEqual([
        ...[`Breakpoint 1, ${calls}`, `Breakpoint 1, ${calls}`, returned, calls, at(store, 'function')],
        ...[at(behind, 'function'), returned, at(behind + 0x10, 'function'), calls, '$1 = 99'],
      ])
    })

    test('what has happened cannot be changed', async () => {
      await expect(debug(`set var ${data} = 1`)).rejects.toThrow('Cannot access memory at address')
      await expect(debug(`set var ${register} = 1`)).rejects.toThrow('Could not write register')
    })
  })
}
