/** `monitor ps`, `task` and `dmesg` while Debian's kernel is stopped, against what ps and dmesg print in the guest. */
import { Apt } from '@retrap/debian'
import type { MachineDebugger, Pc } from '@retrap/machine'
import { linuxCommands, type LinuxMemory, linuxSymbols, SymbolTable } from '@retrap/symbols'
import { expect, test } from 'vitest'
import { TO_DEVICES } from '../support/first-process.ts'
import { answerPrompts, kernelShell } from '../support/kernel-shell.ts'

const DEADLINE_MS = 240_000
/** Fills the log until its ring has begun anew, with lines of several lengths. */
const FILL =
  'pad=; while [ ${#pad} -lt 150 ]; do pad=${pad}abcdefghijk; done; i=0; ' +
  'while [ $i -lt 700 ]; do i=$((i+1)); echo "line $i $pad $((i * i * i))" >&3; done 3>/dev/kmsg'

interface Row {
  readonly pid: string
  readonly parent: string
  readonly state: string
  readonly name: string
}

const rowsOf = (text: string, row: RegExp): Row[] =>
  Array.from(text.matchAll(row), ([, pid = '', parent = '', state = '', name = '']) => ({ pid, parent, state, name }))

/** The list of `monitor ps`. */
const listed = (text = ''): Row[] => rowsOf(text, /^ +(\d+) +\d+ +(\d+) (\w) 0x[\da-f]+ \[?(.*?)\]?$/gm)

/** The machine with a copy of its memory in which a list of processes has been written over. */
function broken(
  pc: Pc,
  debug: MachineDebugger,
  ps: string,
  next: (init: bigint, inTask: bigint) => bigint,
): LinuxMemory {
  const u8 = pc.memory.u8.slice()
  const [init = 0n, second = 0n] = Array.from(ps.matchAll(/0x[\da-f]+/g), ([address]) => BigInt(address))
  const task = new Uint8Array(4096)
  debug.read(init, task)
  const words = new BigUint64Array(task.buffer)
  // The list leads from the same member of one task to the next.
  const word = words.findIndex((value, i) => value === second + BigInt(8 * i))
  const into = new BigUint64Array([next(init, BigInt(8 * word))])
  const base = new BigUint64Array(1)
  debug.read(new SymbolTable(linuxSymbols(pc), 0n).addressOf('page_offset_base') ?? 0n, new Uint8Array(base.buffer))
  const at = pc.domain.secondLevel.peek(Number(init - (base[0] ?? 0n)) + 8 * word)
  u8.set(new Uint8Array(into.buffer), at)
  return { domain: pc.domain, memory: { u8 } }
}

test.skipIf(!(await Apt.isAvailable()))(
  'processes, the current task and the log of a kernel that stands still are those that it tells itself',
  async () => {
    // Everything that a program writes to the log is in it.
    const { pc } = await kernelShell({ commandLine: `${TO_DEVICES} printk.devkmsg=on` })
    const debug = await pc.debugger()
    const [, ps, task, dmesg] = linuxCommands(() => pc)
    const seen: string[] = []
    const commands = [
      'sleep 1000 & (exit 3) & ps -o pid,ppid,stat,comm; echo "the shell is $$"',
      FILL,
      'hostname other',
      'dmesg; echo all of it; head -n 1 /dev/kmsg',
      'poweroff -f',
    ]
    const output = answerPrompts(pc, commands, (left) => {
      if (left !== 4) return
      const address = new SymbolTable(linuxSymbols(pc), 0n).addressOf('__x64_sys_sethostname') ?? 0n
      const once = debug.breakpoint(address, () => {
        once.remove()
        const run = (command: typeof ps, ...given: string[]): string => command?.run(0, given) ?? ''
        seen.push(run(ps), run(task), run(dmesg), run(dmesg, '2'), run(dmesg, 'two'))
        // A circle that does not lead back to the first task, and a list that leads nowhere.
        for (const next of [(init: bigint, inTask: bigint) => init + inTask, () => 0x1234n]) {
          const machine = broken(pc, debug, seen[0] ?? '', next)
          seen.push(linuxCommands(() => machine)[1]?.run(0, []) ?? '')
        }
      })
    })
    expect((await pc.run({ timeoutMs: DEADLINE_MS })).reason).toBe('power-off')
    const text = output().replaceAll('\r', '')
    const [processes, current, log = '', last, wrong, circle, nowhere] = seen
    const rows = listed(processes)
    const told = rowsOf(text, /^ +(\d+) +(\d+) (\w)\S* +(\S+)$/gm)
    expect(told.length).toBeGreaterThan(30)
    // Programs that ran for the list are gone, and threads for work sleep with more to their names. `sleep` may run yet, or sleep.
    const kept = told.filter(({ state, name }) => state !== 'R' && name !== 'sleep')
    const found = kept.map(({ pid, name }) => {
      const row = rows.find((each) => each.pid === pid)
      return row && (name.startsWith('kworker/') ? { ...row, name: name.startsWith(row.name) ? name : row.name } : row)
    })
    expect(found).toEqual(kept)
    const shell = /^the shell is (\d+)$/m.exec(text)?.[1] ?? ''
    const added = rows.filter(({ pid }) => !kept.some((each) => each.pid === pid))
    expect(added.map(({ parent, state, name }) => [parent, state, name])).toEqual([
      [shell, 'S', 'sleep'],
      [shell, 'R', 'hostname'],
    ])
    expect(listed(current)).toEqual(added.slice(1))
    const printed = /head -n 1 [^\n]*\n([^]*)^all of it$/m.exec(text)?.[1] ?? ''
    // The call that dmesg makes returns no more than the ring has room for, with the times in front of the texts.
    expect(printed.split('\n').length).toBeGreaterThan(500)
    expect(log.endsWith(printed)).toBe(true)
    const oldest = /^all of it\n\d+,(\d+),\d+,-;(.*)$/m.exec(text) ?? []
    expect(Number(oldest[1])).toBeGreaterThan(100)
    expect(log.split('\n')[0]?.endsWith(`] ${oldest[2]}`)).toBe(true)
    expect(log.endsWith(`\n${last}`)).toBe(true)
    expect(last?.split('\n')).toHaveLength(3)
    expect(wrong).toBe("dmesg: 'two' is no number of lines\n")
    expect(listed(circle)).toEqual(rows.slice(0, 1))
    expect(nowhere).toMatch(/^Linux in memory: no memory is at 0x/)
  },
  DEADLINE_MS,
)
