import { writeCpio } from './cpio.ts'
import { programFile, reseed } from './initramfs.ts'

/** The ports of the guest's virtio console, by their numbers; 0 is the terminal. */
export const EXEC_PORTS = {
  terminal: 0,
  jobs: 1,
  signals: 2,
  status: 3,
  stdin: 4,
  stdout: 5,
  stderr: 6,
  report: 7,
} as const

/** The folder of the pipe that programs of a cluster write their reports to, line by line. */
export const REPORT_FOLDER = '/dev/retrap'
export const REPORT_PATH: string = `${REPORT_FOLDER}/report`

/** The name that the guest's kernel gives a port. The console is its first virtio device. */
export const device = (port: keyof typeof EXEC_PORTS): string => `/dev/vport0p${EXEC_PORTS[port]}`

/** Says on the port for status that the guest waits for a job. */
export const EXEC_READY = 'ready'
/** Asks on the port for status for the time. */
export const EXEC_TIME = 'time'

/** The commands that make the folders of a root's writes. */
export const UPPER_FOLDERS = `mkdir -p -m 755 /top/work /top/upper/dev /top/upper/etc /top/upper/proc /top/upper/run /top/upper/sys
mkdir -m 1777 /top/upper/tmp
mkdir -m 700 /top/upper/root`

/** The options of mount(8) for a root whose writes stay in memory. @param lower - the folder of its files */
export const rootOptions = (lower: string): string =>
  `lowerdir=${lower}:${KERNEL_FOLDER},upperdir=/top/upper,workdir=/top/work,redirect_dir=on`

/** The control groups. The first process is in the group at the top, and programs are in groups below that. */
const CGROUPS = '/sys/fs/cgroup'

/** The tag of the share with the kernel's modules, and its mount point. */
export const KERNEL_TAG = 'kernel'
export const KERNEL_FOLDER = '/kernel'

/** The tag of the share with the folders of the user's that are only read, or that are written too, and its place in the guest. */
export const foldersTag = (readOnly: boolean): string => (readOnly ? 'ro' : 'rw')

/**
 * The way in which a guest mounts a share. In folders that are written, mappings alone have pages: from Linux 6.4 on that takes
 * `directio` beside `cache=mmap`, and earlier ones ignore it. Shares have no extended attributes: with `noxattr`, which Linux 6.1 ignores
 * and 6.12 has, the overlay does not ask for three of each directory.
 */
export const MOUNT_9P = 'trans=virtio,version=9p2000.L,msize=262144,noxattr'

/** Another place of a root that has moved. */
const MOVED = '/new'

/**
 * Moves a root, which is the shell's folder, to the top of its mount namespace. Linux gives a user namespace to no process whose root is
 * another folder: such a process has been confined to a part of the files. All other processes keep the root that they have. Mounts are
 * shared with namespaces below, as systemd has it, and podman expects.
 *
 * Source: Linux, kernel/user_namespace.c, `create_user_ns`, and fs/namespace.c, `current_chrooted`.
 */
export const MOVE_ROOT = 'mount -o move . / && mount --make-rshared .'

/**
 * The first process gets all ready and waits for a second one, which reads commands from a port as a file: they end in a program
 * in its place. Commands that come by another port are run beside it.
 *
 * The root and the folders are mounted before the machine is saved: each run has other shares at their other ends. Until then only directories are
 * looked for that others are mounted on.
 *
 * A program's outputs are pipes, as programs open /dev/stdout again, which they may not do with a port. The reader of a pipe ends with
 * its last writer: the first process holds one open by 5 and 6 until the program has ended. Then all that it has started is
 * killed, by its control groups: nothing that it has left behind holds its outputs, or changes files. Nothing here is a victim of a lack of
 * memory.
 */
const INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin
ln -s fd/1 /dev/stdout
ln -s fd/2 /dev/stderr
chmod 666 /dev/hvc0 2>/dev/null
# A program that opens one of these loads its driver (char-major-10-229).
mkdir /dev/net
mknod -m 666 /dev/fuse c 10 229
mknod -m 666 /dev/net/tun c 10 200
mknod -m 600 /dev/btrfs-control c 10 234
mknod -m 600 /dev/loop-control c 10 237
hostname retrap
ip link set lo up
for module in /modules/*.ko; do insmod "$module"; done
until [ -c ${device('report')} ]; do sleep 0.1; done
# Until its other end is known to be there, a port is at its end.
sleep 1
echo -1000 >/proc/self/oom_score_adj
# Random numbers are seeded anew where they have been seeded before.
head -c 1 /dev/random >/dev/null
mkdir -p /lower /top /new /ro /rw ${KERNEL_FOLDER}
mount -t cgroup2 cgroup ${CGROUPS}
mkdir ${CGROUPS}/program
mount -t tmpfs -o size=60% top /top
${UPPER_FOLDERS}
mount -t 9p -o ${MOUNT_9P},cache=loose,ro root /lower
mount -t 9p -o ${MOUNT_9P},cache=loose,ro ${KERNEL_TAG} ${KERNEL_FOLDER}
mount -t 9p -o ${MOUNT_9P},cache=loose,ro ro /ro
mount -t 9p -o ${MOUNT_9P},cache=mmap,directio,locktimeout=1,rw rw /rw
mount -t overlay -o ${rootOptions('/lower')} overlay /new
mount -t proc proc /new/proc
mount --rbind /sys /new/sys
mount --rbind /dev /new/dev
# The root moves to the top of its namespace. What is mounted below ${MOVED} from now on is mounted in the root, too.
cd /new
${MOVE_ROOT}
mount --rbind . ${MOVED}
mkdir /dev/retrap
mkfifo -m 666 /in /out /err ${REPORT_PATH}
exec 4<>${REPORT_PATH} 5<>/out 6<>/err 8<>/in
cat 0<&4 1>${device('report')} 4>&- 5>&- 6>&- 8>&- &
exec 4>&-
exec 9</in 7>${device('status')}
cat 0<${device('stdin')} 1>/in 5>&- 6>&- 7>&- 8>&- 9>&- &
cat 0</out 1>${device('stdout')} 5>&- 6>&- 7>&- 8>&- 9>&- &
out=$!
cat 0</err 1>${device('stderr')} 5>&- 6>&- 7>&- 8>&- 9>&- &
err=$!
(exec 5>&- 6>&- 7>&- 8>&- 9>&-; . ${device('signals')}) &
sleep 0.2
# Files that the boot has read are in no snapshot.
echo 3 >/proc/sys/vm/drop_caches
# Free memory that is all zeros is in no snapshot, and a run that takes some reads none. A file of zeros gets the pieces that the
# boot has left first. The kernel's init_on_free would have each run touch all memory that it adds.
dd if=/dev/zero of=/dev/shm/zeros bs=64k count=512 2>/dev/null
rm /dev/shm/zeros
# A program's input ends with what fills it, and may have ended before the program begins.
exec 8>&-
# A child in the background would ignore signals.
(exec setsid env -i /bin/sh /program 5>&- 6>&-)
code=$?
exec 5>&- 6>&-
for group in ${CGROUPS}/*/; do
  # Linux before 5.14 has no cgroup.kill.
  [ -e $group/cgroup.kill ] && echo 1 >$group/cgroup.kill && continue
  while pids=$(find $group -name cgroup.procs -exec cat {} +) && [ -n "$pids" ]; do kill -9 $pids; sleep 0.01; done
done
[ -e /terminal ] || { wait $out && wait $err; } || code=lost
echo "end $code" >&7
sleep 1000
`

/** The second process, which execs the program, so that the program has its number. */
const PROGRAM = `PATH=/bin
read -r pid rest </proc/self/stat
echo $pid >/pid
echo $pid >${CGROUPS}/program/cgroup.procs
echo 0 >/proc/self/oom_score_adj
unset OLDPWD PWD SHLVL
# The root: only who is in it reaches it.
exec 3<.
# Until now nothing may look for modules: a share that is empty would be remembered so.
echo /bin/modprobe >/proc/sys/kernel/modprobe
echo ${EXEC_READY} >&7
. ${device('jobs')}
`

/** busybox's path to itself, and a nonexistent path of equal length. */
const OWN_PATH = '/proc/self/exe'
const BUSYBOX = '/retrap-box'

/**
 * A busybox that has only programs of its own below the initial RAM disk: in the program's root, a name such as `cat` is a file
 * of the root, and not a part of busybox.
 */
function bound(busybox: Uint8Array): Uint8Array {
  const bytes = Buffer.from(busybox)
  const path = BUSYBOX.padEnd(OWN_PATH.length, '\0')
  for (let at = bytes.indexOf(OWN_PATH); at >= 0; at = bytes.indexOf(OWN_PATH, at)) bytes.write(path, at, 'latin1')
  return bytes
}

/**
 * The initial RAM disk of `retrap exec`: a guest that waits for a job.
 *
 * @param busybox - a statically linked busybox
 * @param modules - the kernel's modules to load, in this order
 */
export function buildExecInitramfs(busybox: Uint8Array, modules: readonly Uint8Array[]): Uint8Array {
  const program = reseed(busybox)
  return writeCpio([
    ...['bin', 'dev', 'etc', 'lib', 'modules', 'proc', 'sys', 'tmp'].map(
      (path) => ({ kind: 'directory', path }) as const,
    ),
    { kind: 'character-device', path: 'dev/console', major: 5, minor: 1 },
    programFile(BUSYBOX.slice(1), bound(busybox)),
    { kind: 'symlink', path: 'bin/busybox', target: BUSYBOX },
    { kind: 'symlink', path: 'bin/sh', target: 'busybox' },
    { kind: 'symlink', path: 'lib/modules', target: `${KERNEL_FOLDER}/usr/lib/modules` },
    ...(program === undefined ? [] : [programFile('bin/reseed', program)]),
    ...modules.map((data, i) => ({ kind: 'file', path: `modules/${String(i).padStart(3, '0')}.ko`, data }) as const),
    programFile('init', INIT),
    { kind: 'file', path: 'program', data: new TextEncoder().encode(PROGRAM) },
  ])
}
