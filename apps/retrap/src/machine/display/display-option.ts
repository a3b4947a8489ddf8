import type { KeyboardLayoutName } from '@retrap/display'
import type { OptionRow } from '../../options/option-table.ts'
import { type DeviceArgument, type SerialTarget, usage } from '../../options/values.ts'
import { checkedProperties } from '../devices/pci-devices.ts'
import { checkedLayout, parseVnc, type VncTarget } from './vnc-target.ts'

/** The output of the graphics card's picture. */
export type DisplayTarget =
  | { readonly kind: 'none' }
  | { readonly kind: 'png'; readonly path: string }
  | { readonly kind: 'terminal'; readonly layout?: KeyboardLayoutName }
  | VncTarget

/** The outputs of a session for its machines' graphics card. */
export interface DisplaySettings {
  readonly target: DisplayTarget
  /** The file of a picture that is taken at the end. */
  readonly screenshot?: string
}

/** The mode that the monitor of a `--device VGA` prefers. */
interface PreferredMode {
  readonly width: number
  readonly height: number
}

/** Options of the graphics card and its picture. */
export interface DisplayFlags {
  readonly vga?: 'std' | 'ramfb' | 'none'
  /** The mode that a `--device VGA` has preferred. */
  readonly preferredMode?: PreferredMode | null
  readonly display?: DisplayTarget
  readonly screenshotOnExit?: string
  readonly serial?: readonly SerialTarget[]
}

const EXPECTED = 'write none, png:FILE, terminal, terminal,layout=de or vnc=HOST:PORT'
const TERMINAL_LAYOUT = 'terminal,layout='

/** Options of the graphics card and its picture. */
export const DISPLAY_OPTIONS: readonly OptionRow[] = [
  {
    flags: '--vga <card>',
    help: 'graphics card (default: std where disks are booted by firmware, else none)',
    choices: ['std', 'none'],
  },
  {
    flags: '--display <where>',
    help: "where the graphics card's picture goes: none, png:FILE (written anew as it changes), terminal[,layout=us|gb|de|fr] (whose keys are the guest's; Ctrl-A h lists those that are not), or vnc=HOST:PORT[,password=TEXT][,websocket=PORT][,layout=us|gb|de|fr] (default: none)",
    parse: parseDisplay,
  },
  { flags: '--screenshot-on-exit <file>', help: "write the graphics card's last picture, as PNG" },
]

/** Reads a `--display` argument. @throws CliError `ERR_USAGE` */
export function parseDisplay(text: string): DisplayTarget {
  if (text === 'none' || text === 'terminal') return { kind: text }
  if (text.startsWith(TERMINAL_LAYOUT)) {
    return { kind: 'terminal', layout: checkedLayout('--display terminal', text.slice(TERMINAL_LAYOUT.length)) }
  }
  if (text === 'vnc') return parseVnc('')
  if (text.startsWith('vnc=')) return parseVnc(text.slice(4))
  const [kind, ...rest] = text.split(':')
  const path = rest.join(':')
  if (kind !== 'png') throw usage(`--display '${text}' is unknown; ${EXPECTED}`)
  if (path === '') throw usage(`--display ${text} names no file; write png:FILE`)
  return { kind, path }
}

/** A `--device VGA` or `ramfb` is the graphics card. @throws CliError `ERR_USAGE` beside another one */
export function withCardDevice<
  Flags extends Pick<DisplayFlags, 'vga'> & { readonly device?: readonly DeviceArgument[] },
>(flags: Flags): Flags & Pick<DisplayFlags, 'vga' | 'preferredMode'> {
  const [device, another] = flags.device?.filter(({ name }) => name === 'ramfb' || name === 'VGA') ?? []
  if (device === undefined) return flags
  if (another !== undefined || flags.vga === 'std')
    throw usage(`a machine has one picture; write --device ${device.name} once and leave --vga std out`)
  const properties = checkedProperties(device)
  if (device.name === 'ramfb') return { ...flags, vga: 'ramfb' }
  const preferredMode = {
    width: properties.whole('xres', 1280, 2560, 320),
    height: properties.whole('yres', 800, 1600, 200),
  }
  return { ...flags, vga: 'std', preferredMode: properties.flag('edid') === false ? null : preferredMode }
}

/**
 * Returns the display outputs of a session; none without a display option.
 *
 * @param usual - the machine's card unless `--vga` names another
 * @throws CliError `ERR_USAGE` for options that contradict each other
 */
export function displaySettings(
  flags: DisplayFlags,
  usual: 'std' | 'ramfb' | 'none',
): { readonly display?: DisplaySettings } {
  const { display = { kind: 'none' }, screenshotOnExit: screenshot } = flags
  if (flags.vga === 'none' && (display.kind !== 'none' || screenshot !== undefined))
    throw usage('--vga none leaves no picture for --display and --screenshot-on-exit')
  if (flags.vga === undefined && usual === 'none' && (display.kind !== 'none' || screenshot !== undefined))
    throw usage('--display and --screenshot-on-exit: this machine has no graphics card; add --vga std')
  if (screenshot === '') throw usage('--screenshot-on-exit names no file; write the name of a PNG file')
  if (display.kind === 'terminal' && flags.serial?.some(({ kind }) => kind === 'stdio') === true)
    throw usage('--display terminal has the terminal; give --serial none, file:FILE or another place')
  if (display.kind === 'none' && screenshot === undefined) return {}
  return { display: { target: display, ...(screenshot !== undefined && { screenshot }) } }
}
