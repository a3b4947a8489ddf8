// Debian's kernel debugged backwards with the symbols that Debian publishes of it. A boot is recorded. Each step goes to an
// instant of it and runs back to where a function was called last, or a counter written, then once more, and on again: gdb must be
// where it was, with the same registers and callers.
// @programs: gdb
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { debianMembers } from '@retrap/tooling/debian'
import type { Soak } from '@retrap/tooling/soak'
import { debugScripted } from '../gdb/scripted-gdb.ts'
import { retrapCommand, runRetrap } from '../support/processes.ts'

const DEADLINE_MS = 600_000
const DEBUG_FOLDER = 'usr/lib/debug/boot'
const IMAGE = 'vmlinux-'
const FUNCTIONS = ['do_sys_openat2', 'vfs_write', 'copy_process', 'handle_mm_fault', 'do_exit', 'wake_up_new_task']
const COUNTERS = ['total_forks', 'nr_threads']
/** gdb prints it in its place among the rest, which is not so for `monitor` alone. */
const monitor = (command: string): string => `python print(gdb.execute('monitor ${command}', to_string=True))`
/** Where gdb is, and how it came there. */
const WHERE = [monitor('when'), 'backtrace', 'info registers rip rsp rdi rsi eflags', 'output linux_banner']
const NO_MORE = 'No more reverse-execution history.'

let folder = ''
let recording = ''
let vmlinux = ''
let end = 0
let offset = ''

/** Runs gdb on the recording from an instant on. @returns what it prints behind each `MARK` */
async function debug(from: number, before: readonly string[], commands: readonly string[]): Promise<readonly string[]> {
  const gdb = { gdb: 'gdb', before: ['set architecture i386:x86-64', ...before] }
  const replay = (port: number): readonly [string, readonly string[]] => [
    process.execPath,
    retrapCommand(['replay', recording, '--goto', `${from}`, '--', '--gdb', `tcp:${port},wait`]),
  ]
  const [output] = await debugScripted(gdb, replay, commands, folder, DEADLINE_MS)
  return output.split('MARK\n').map((part) => part.trim())
}

export const soak: Soak = {
  name: 'kernel-symbols',
  count: 20,
  async setup() {
    const [symbols = ''] = (await debianMembers([
      { package: 'linux-image-cloud-amd64-dbg', members: [`./${DEBUG_FOLDER}/${IMAGE}*`], dependency: 'linux-image-' },
    ])) ?? [undefined]
    if (symbols === '') throw new Error('the symbols of the kernel are not in the cache, and there is no apt')
    const name = readdirSync(join(symbols, DEBUG_FOLDER)).find((file) => file.startsWith(IMAGE))!
    vmlinux = join(symbols, DEBUG_FOLDER, name)
    folder = mkdtempSync(join(tmpdir(), 'retrap-kernel-symbols-'))
    recording = join(folder, 'boot.rec')
    const kernel = ['--package', `linux-image-${name.slice(IMAGE.length)}`]
    const shell = 'for i in 1 2 3; do ls -l /proc > /tmp/$i; done; poweroff -f'
    const command = ['linux', ...kernel, '--memory', '256M', '--record', recording, '--command', shell]
    const { stderr } = await runRetrap(command, { deadlineMs: DEADLINE_MS })
    end = Number(/recorded (\d+) instructions/.exec(stderr)?.[1])
    const [said = ''] = await debug(end, [], [monitor('kaslr')])
    offset = /symbol-file -o (0x[\da-f]+) vmlinux/.exec(said)?.[1] ?? ''
    if (offset === '') throw new Error(`monitor kaslr says: ${said}`)
  },
  async step(rng) {
    const counter = rng.chance(1, 3) ? rng.pick(COUNTERS) : undefined
    const name = counter ?? rng.pick(FUNCTIONS)
    // The shell is the last tenth of the boot.
    const from = Math.floor(end * (1 - rng.below(1000) / 10_000))
    rng.note('from', `${from} of ${end}`)
    rng.note(counter === undefined ? 'function' : 'counter', name)
    const stop = counter === undefined ? `break ${name}` : `watch -l ${name}`
    const mark = 'echo MARK\\n'
    const script = ['reverse-continue', mark, ...WHERE, mark, 'reverse-continue', mark, 'continue', mark, ...WHERE]
    const [first = '', there = '', second = '', again = '', thereAgain = ''] = await debug(
      from,
      [`symbol-file -o ${offset} ${vmlinux}`],
      [stop, ...script],
    )
    rng.note('there', there)
    rng.note('again', thereAgain)
    if (first.includes(NO_MORE) || second.includes(NO_MORE)) return undefined
    if (!there.includes('Linux version')) return 'the kernel is not where gdb looks for it'
    if (counter === undefined) {
      if (!new RegExp(String.raw`^#0\s.*\b${name} \(`, 'm').test(there)) return 'gdb stopped elsewhere'
      return there === thereAgain ? undefined : 'gdb did not come back to where it was'
    }
    // A watchpoint stops behind the write on the way on, and in front of it on the way back.
    const values = (text: string): string | undefined =>
      /Old value = (\d+)\s+New value = (\d+)/.exec(text)?.slice(1).join()
    const [back, on] = [values(second), values(again)]
    rng.note('values', `${back} back, ${on} on`)
    if (back === undefined || on?.split(',').toReversed().join() !== back)
      return 'the counter went elsewhere on the way on'
    return undefined
  },
  teardown() {
    if (folder !== '') rmSync(folder, { recursive: true, force: true })
  },
}
