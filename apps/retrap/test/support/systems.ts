// Which systems a run boots. Each takes seconds to minutes: `npm test` boots one of so many, in turn by the commit, and
// `npm test -- --long` all. What boots a PC to its prompt is in each run (linux), and a half of what is done there (devices).
import { filesLeftOut } from '@retrap/tooling/slice'

/** One of so many of the usual kinds: other firmware, another board, other media. */
const OFTEN_PARTS = 6
const OFTEN = [
  ...['system/uefi', 'system/arm', 'system/sleep', 'system/user-modules', 'monitor/hot-plug'],
  ...['system/embedded', 'system/firmware-kernel', 'web/machine-json', 'system/other-systems', 'system/busy-host'],
  ...['system/ends-in-time', 'system/compile-cache', 'profile/devtools', 'system/guest-agent'],
  ...['system/mcp', 'web/visitor', 'web/files'],
]

/** One of so many of those that start the command, or a machine, again and again. */
const COMMAND_PARTS = 3
const COMMANDS = [
  ...['recording', 'migration', 'snapshots', 'system/bad-guests', 'disasm/file-alone', 'monitor/media'],
  ...['same-instant', 'gdb/gdb-record', 'gdb/gdb', 'migration/disks', 'arm-kernel', 'serial/far-end'],
  ...['gdb/gdb-replay', 'gdb/session-gdb', 'image', 'system/disk-reset', 'http-images', 'gdb/gdb-arm'],
  'mcp/server',
]

/** One of all others. */
const PARTS = 39
/** Files in `test`, from the longest to the shortest. */
const FILES = [
  'system/disks',
  'system/jit',
  'system/arm-snapshots',
  'system/recording',
  'web/networks',
  'system/balloon',
  'system/arm-xen',
  'system/walk',
  'system/usb',
  'system/controllers',
  'system/virtio',
  'system/sata',
  'system/slow-devices',
  'system/media',
  'system/xen',
  'system/root-port',
  'system/arm-armhf',
  'system/scsi',
  'system/profile',
  'system/native-programs',
  'system/hot-plug',
  'system/several-machines',
  'system/nvme',
  'system/arm-disks',
  'system/arm-guest-agent',
  'system/power',
  'system/network',
  'system/hot-plug-commands',
  'system/share',
  'system/floppy',
  'system/keyboard-mouse',
  'system/virtio-console',
  'system/sound',
  'system/speaker',
  'system/guest-clock',
  'system/cable',
  'system/five-levels',
  'system/netboot',
  'system/virtio-input',
]

/** The files of tests that this run leaves out, as paths in the package's folder. */
export function left(): readonly string[] {
  return [
    ...filesLeftOut(OFTEN, OFTEN_PARTS),
    ...filesLeftOut(COMMANDS, COMMAND_PARTS),
    ...filesLeftOut(FILES, PARTS),
  ].map((file) => `test/${file}.test.ts`)
}
