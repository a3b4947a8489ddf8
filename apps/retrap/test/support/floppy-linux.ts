import { ADAPTERS, type DiskLinux, linuxWith } from './disk-linux.ts'
import { FIRST_PROCESS } from './first-process.ts'

/** The first process of `rdinit=/auto`: reads floppy A, and writes to it. */
const AUTO = `${FIRST_PROCESS}/drivers
mount -t tmpfs tmpfs /tmp
dd if=/dev/fd0 of=/tmp/part bs=512 skip=100 count=300 2>/dev/null
echo "read $(sha256sum < /tmp/part)"
dd if=/tmp/part of=/dev/fd0 bs=512 seek=2500 conv=fsync 2>/dev/null
echo DONE
poweroff -f
`

/** A Linux with the driver of floppies. @returns undefined where there is no apt to fetch Debian's packages with */
export function floppyLinux(): Promise<DiskLinux | undefined> {
  return linuxWith(['floppy'], AUTO, ADAPTERS)
}
