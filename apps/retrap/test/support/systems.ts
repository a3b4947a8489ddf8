// Which systems a run boots. Each takes seconds to minutes: `npm test` boots one of so many, in turn by the commit, and
// `npm test -- --long` all. RETRAP_TEST_LONG=1 has vitest find each file by its name.
import { sliced } from '@retrap/tooling/slice'

const PARTS = 16

/** Files in `test`, from the longest to the shortest: those that a run takes are of about the same duration together. */
const FILES = [
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
  'system/busy-host',
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
  'system/power',
  'system/network',
  'system/hot-plug-commands',
  'system/share',
  'system/floppy',
  'system/keyboard-mouse',
  'system/virtio-console',
  'system/sound',
  'system/speaker',
  'system/cable',
  'system/five-levels',
  'system/netboot',
  'system/virtio-input',
]

/** The files of tests that this run leaves out, as paths in the package's folder. */
export function left(): readonly string[] {
  const taken = new Set(sliced(FILES, PARTS))
  return FILES.filter((file) => !taken.has(file)).map((file) => `test/${file}.test.ts`)
}
