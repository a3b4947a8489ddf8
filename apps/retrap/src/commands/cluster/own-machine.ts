/** The file of `retrap run` that describes a machine of a cluster. */
import { readFileSync } from 'node:fs'
import { ClusterError, type PlacedMachine } from '@retrap/cluster'
import { attempt } from '../../errors.ts'
import { openMachine, type OpenTestMachine, readMachine } from '../test/machine.ts'

/** Options of a machine's file that are the cluster's, and what has their place there. */
const OF_CLUSTER: Readonly<Record<string, string>> = {
  ...{ arch: "the cluster's file has it", cpus: "the cluster's file has it", memory: "the cluster's file has it" },
  ...{ nic: 'its network is that of the cluster', netdev: 'its network is that of the cluster' },
}

/** Opens the files of a machine. @param tell - is told a notice @throws CliError `ERR_INPUT`, ClusterError `ERR_CLUSTER` that names the machine */
export async function openOwnMachine(
  path: string,
  machine: PlacedMachine,
  tell: (text: string) => void,
): Promise<OpenTestMachine> {
  const { name, arch, cpus, memory, disk } = machine
  const wrong = (why: string): ClusterError => new ClusterError('ERR_CLUSTER', `machine ${name}: ${why}`)
  const described = contentsOf(path)
  const other = Object.keys(described).find((key) => key in OF_CLUSTER)
  if (other !== undefined) throw wrong(`${path}: ${other}: ${OF_CLUSTER[other]}; leave it out`)
  const own = { arch: arch === 'arm64' ? 'arm64' : 'amd64', cpus, memory: `${Math.ceil(memory / 2 ** 20)}M` }
  const opened = await openMachine(readMachine(path, '', { ...described, ...own }), {
    stderr: { write: (line) => tell(String(line).replaceAll(/^retrap: |\n$/g, '')), on: () => undefined },
    isReplay: false,
  })
  const { drives = [] } = opened.machine
  const bytes = drives[0]?.medium?.properties.bytes ?? 0
  const why =
    drives.length > 1
      ? 'it has several disks, and a machine of a cluster has one'
      : drives.length === 1 && disk === undefined
        ? 'it has a disk image: expected `disk`, the size of the disk that the image is put on'
        : drives.length === 0 && disk !== undefined
          ? 'it has `disk`, and its file names no disk image'
          : bytes > (disk?.size ?? 0)
            ? `its disk image has ${bytes} bytes, which are more than those of \`disk\``
            : undefined
  if (why === undefined) return opened
  await opened.close()
  throw wrong(why)
}

const contentsOf = (path: string): Readonly<Record<string, unknown>> =>
  attempt(path, () => JSON.parse(readFileSync(path, 'utf8')) as Readonly<Record<string, unknown>>)
