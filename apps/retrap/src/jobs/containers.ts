/** Containers that share the kernel of a Linux guest, as commands of the shells in it. */
import { addressOf, type PlacedMachine } from '@retrap/cluster'
import { MOUNT_9P, REPORT_FOLDER, rootOptions, UPPER_FOLDERS } from '@retrap/linux-guest/linux/exec-initramfs'
import { GROUPS } from './guest-faults.ts'
import { hex } from './linux-place.ts'
import { containerPorts, type ExecKind, rootTag } from '@retrap/linux-guest/jobs/machine'

/** A container's folder in memory, which is `/top` for its own shell: with its writes, and its pipes. */
const folderOf = (container: number): string => `/top/container${container}`

/** The text that has a container's shell read a text. */
export const enter = (container: number, text: string): string =>
  `echo ${Buffer.from(text).toString('base64')} | base64 -d 1<>${folderOf(container)}/in\n`
/** The text that has a container's shell read a text to its end, before the guest's shell goes on. */
export const enterAndWait = (container: number, text: string): string =>
  `${enter(container, `${text}echo : >/top/up\n`)}read -r inside <${folderOf(container)}/up\n`

/**
 * The commands by which the guest's shell starts that of a container, in namespaces of its own. The first process of a container
 * waits for all others that lose their parents. The network of a container is a link on the guest's card, which sends each frame out by
 * that card: also a frame for the container beside it.
 *
 * @param container - 0 for the machine itself, which has the guest's own ports
 *
 * Source: Linux, drivers/net/macvlan.c, `macvlan_queue_xmit`, for the mode VEPA.
 */
export function containerCommands(container: number, kind: ExecKind, machine: PlacedMachine): readonly string[] {
  const at = folderOf(container)
  const group = `${GROUPS}/container${container}`
  const isFirst = container === 0
  const [stdout, stderr, report, status] = containerPorts(kind, container)
  const pipes = [
    `mkfifo -m 666 ${at}/out ${at}/err ${at}/retrap/report; ln -s report ${at}/retrap/sdk.jsonl`,
    `cat 0<>${at}/out 1>${stdout} & cat 0<>${at}/err 1>${stderr} & cat 0<>${at}/retrap/report 1>${report} &`,
  ]
  const link = `eth${container + 1} address ${hex(addressOf(machine.number))} type macvlan; ip link set eth${container + 1}`
  return [
    `mkdir -p ${at}/retrap ${group}/program ${group}/keepers; mkfifo ${at}/in ${at}/up`,
    `echo '+memory +cpu' >${group}/cgroup.subtree_control`,
    ...(isFirst ? [`ln -s report ${REPORT_FOLDER}/sdk.jsonl`] : pipes),
    `unshare -m -u -i -n -p -f sh -c '(exec 9<>${at}/in ${isFirst ? '' : `7>${status}`}; . ${at}/in) & wait' & inside=$!`,
    // Waits for that shell, which has its namespaces then.
    `echo : >${at}/in`,
    ...(machine.networks.length === 0 ? [] : [`ip link add link eth0 name ${link} netns $inside`]),
  ]
}

/** The commands of a container's own shell that make its root, and put its pipes and groups at the usual places. */
export function rootCommands(container: number, { networks }: PlacedMachine): readonly string[] {
  const isFirst = container === 0
  return [
    `mount --bind ${folderOf(container)} /top; mount --bind ${GROUPS}/container${container} ${GROUPS}`,
    'mount -t proc proc /proc; mount -t tmpfs -o mode=1777 shm /dev/shm',
    UPPER_FOLDERS,
    ...(isFirst
      ? []
      : [
          `mkdir /top/lower; mount -t 9p -o ${MOUNT_9P},cache=loose,ro ${rootTag(container)} /top/lower`,
          `mount --bind /top/out /out; mount --bind /top/err /err; mount --bind /top/retrap ${REPORT_FOLDER}`,
        ]),
    `mount -t overlay -o ${rootOptions(isFirst ? '/lower' : '/top/lower')} overlay /new`,
    'mount -t proc proc /new/proc; mount -t sysfs sysfs /new/sys; mount --rbind /dev /new/dev',
    `mount --bind ${GROUPS} /new${GROUPS}`,
    'ip link set lo up',
    ...(networks.length === 0 ? [] : [`ip link set eth${container + 1} name eth0`]),
  ]
}
