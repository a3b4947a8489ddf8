/** Commands about the run, its registers, keys and picture: for the monitor, and for QMP. */
import { writeFile } from 'node:fs/promises'
import type { KeyName } from '@retrap/display'
import { CliError, troubled } from '@retrap/linux-guest/errors'
import { checkTarget } from '@retrap/linux-guest/host/files'
import type { Machine } from '@retrap/linux-guest/machine/machine-contract'
import { usage } from '../../options/values.ts'
import { packageVersion } from '../../package-version.ts'
import type { RunControl } from '../../host/run-control.ts'

/** The objects that the commands of a run act on. */
export interface RunSite {
  /** The running machine; undefined: none. */
  readonly machine: Machine | undefined
  readonly control: RunControl
  /** Ends the session. */
  readonly leave: () => void
  /** Presses the power button. @returns whether the guest has asked for its event */
  readonly power: () => Promise<boolean>
}

const words = (text: string): string[] => text.split(' ')

const X86_REGISTERS = words(
  'rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip eflags cs ss ds es fs gs cr0 cr2 cr3 cr4 efer fs_base gs_base',
)
const ARM_REGISTERS = [...Array.from({ length: 31 }, (_, i) => `x${i}`), 'sp', 'pc', 'cpsr']
const REGISTERS_A_LINE = 4

/** QEMU's key names (QAPI's QKeyCode), each with this project's name; letters, digits and F keys need no entry. */
const KEYS: ReadonlyMap<string, string> = new Map(
  words(
    'ret:Enter kp_enter:NumpadEnter esc:Escape spc:Space tab:Tab backspace:Backspace delete:Delete insert:Insert home:Home end:End pgup:PageUp pgdn:PageDown up:ArrowUp down:ArrowDown left:ArrowLeft right:ArrowRight ctrl:ControlLeft ctrl_r:ControlRight alt:AltLeft alt_r:AltRight shift:ShiftLeft shift_r:ShiftRight meta_l:MetaLeft meta_r:MetaRight menu:ContextMenu minus:Minus equal:Equal comma:Comma dot:Period slash:Slash semicolon:Semicolon apostrophe:Quote grave_accent:Backquote backslash:Backslash bracket_left:BracketLeft bracket_right:BracketRight less:IntlBackslash caps_lock:CapsLock num_lock:NumLock scroll_lock:ScrollLock print:PrintScreen sysrq:PrintScreen pause:Pause',
  ).map((pair) => pair.split(':') as [string, string]),
)

function keyOf(name: string): KeyName {
  const upper = name.toUpperCase()
  if (/^[a-z]$/.test(name)) return `Key${upper}` as KeyName
  if (/^\d$/.test(name)) return `Digit${name}` as KeyName
  if (/^f([1-9]|1\d|2[0-4])$/.test(name)) return upper as KeyName
  const key = KEYS.get(name)
  if (key === undefined) throw usage(`there is no key '${name}'; write names as ctrl-alt-delete, a, 1, f1, ret, spc`)
  return key as KeyName
}

/** Presses keys at once. @throws CliError `ERR_USAGE` for a name that does not exist */
export async function sendKeys(site: RunSite, names: readonly string[]): Promise<void> {
  await runningMachine(site).keyboard?.press(...names.map(keyOf))
}

/** Writes the picture to a file, as PNG. @throws CliError */
export async function screenDump(site: RunSite, path: string): Promise<void> {
  const { screen } = runningMachine(site)
  screen?.refresh()
  if (screen === undefined || screen.width === 0) throw usage("screendump: the machine's display is off")
  await checkTarget('screendump', path)
  await writeFile(path, await screen.toPng()).catch(troubled(`screendump: ${path}`))
}

/** @throws CliError `ERR_INPUT` where no machine runs */
export function runningMachine({ machine }: RunSite): Machine {
  if (machine === undefined) throw new CliError('ERR_INPUT', 'no machine runs')
  return machine
}

/** The registers of vCPU 0, or with `-a` of all, while the machine stands still. */
async function registers(site: RunSite, given: readonly string[]): Promise<string> {
  const machine = runningMachine(site)
  if (machine.debugger === undefined) throw usage('info registers: this machine has no debugger')
  const debug = await machine.debugger()
  const isHeld = site.control.status !== 'running' || debug.isStopped
  if (!isHeld) await debug.stop()
  try {
    const names = machine.deviceTree === undefined ? X86_REGISTERS : ARM_REGISTERS
    let text = ''
    for (let cpu = 0; cpu < (given.includes('-a') ? debug.cpus : 1); cpu++) {
      text += `CPU#${cpu}\n`
      for (const [i, name] of names.entries()) {
        const end = i % REGISTERS_A_LINE === REGISTERS_A_LINE - 1 || i === names.length - 1 ? '\n' : ' '
        text += `${name.toUpperCase()}=${debug.register(name, cpu).toString(16).padStart(16, '0')}${end}`
      }
    }
    return text
  } finally {
    if (!isHeld) debug.resume()
  }
}

type RunCommand = (given: readonly string[], site: RunSite) => string | Promise<string>

/** `info …` of the run. */
export const RUN_INFO: Readonly<Record<string, RunCommand>> = {
  status: (_, { control: { status } }) => `VM status: ${status === 'prelaunch' ? 'paused (prelaunch)' : status}\n`,
  version: () => `${packageVersion()}\n`,
  registers: (given, site) => registers(site, given),
}

/** Wraps a command without output. */
const silent =
  (act: (site: RunSite, given: readonly string[]) => unknown): RunCommand =>
  async (given, site) => {
    await act(site, given)
    return ''
  }
const [quit, stop, cont] = [
  silent(({ leave }) => leave()),
  silent(({ control }) => control.hold()),
  silent(({ control }) => control.release()),
]

/** The commands, by QEMU's names. */
export const RUN_COMMANDS: Readonly<Record<string, RunCommand>> = {
  ...{ quit, q: quit, stop, s: stop, cont, c: cont },
  system_reset: silent(({ control }) => control.reset()),
  system_powerdown: async (_, { control, power }) => {
    control.tell('POWERDOWN')
    return (await power()) ? '' : 'the guest has not asked for the event of the power button\n'
  },
  system_wakeup: silent(({ power }) => power()),
  sendkey: silent((site, [keys = '', ...more]) => {
    if (keys === '' || more.length > 1) throw usage('write sendkey KEYS, such as sendkey ctrl-alt-delete')
    return sendKeys(site, keys.split('-'))
  }),
  screendump: silent((site, [path = '']) => {
    if (path === '') throw usage('write screendump FILE')
    return screenDump(site, path)
  }),
}

/** Lines for `help`. */
export const RUN_HELP = `info status|version|registers [-a]
                                  whether the machine runs; registers of CPU 0, or of all
stop, cont                        have the machine stand still; let it go on
system_reset, system_powerdown    start anew; press the power button
sendkey KEYS                      press keys at once: sendkey ctrl-alt-delete
screendump FILE                   write the picture, as PNG
quit                              end the run
`
