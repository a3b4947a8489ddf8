/** Folders of disks that are copied from machine to machine, as commands of their guests' shells. */
import { MOST_COPIED, type PlacedMachine } from '@retrap/cluster'
import { quote } from '@retrap/linux-guest/jobs/job'
import { SHARED_DISK } from './linux-place.ts'

/** The packed folder, in memory. */
const PACKED = '/top/packed'
/** Characters of base64 in a line, which a port takes as a whole. */
const LINE = 48_000

const folderOf = ({ disk, inside }: PlacedMachine, folder: string): string =>
  quote(inside === undefined ? `.${disk!.path}/${folder}` : `${SHARED_DISK}/${folder}`)

/** The commands that tell each folder which others copy, once the program has completed: nothing else tells a state then. */
export function sendFolders(machine: PlacedMachine, machines: readonly PlacedMachine[]): string {
  const all = machines.flatMap(({ disk }) => Object.entries(disk?.copies ?? {}))
  const folders = new Set(all.filter(([, from]) => from === machine.name).map(([folder]) => folder))
  return [...folders]
    .map((folder) =>
      [
        `tar -c -C ${folderOf(machine, folder)} . | head -c ${MOST_COPIED + 1} >${PACKED} || echo status uncopied ${folder} takes more memory than there is >&7`,
        `if [ $(stat -c %s ${PACKED}) -gt ${MOST_COPIED} ]; then echo status uncopied ${folder} has more than ${MOST_COPIED >> 20} MiB >&7`,
        `else echo status copy ${folder} >&7; base64 -w ${LINE} ${PACKED} | sed 's/^/status copy ${folder} /' >&7; fi; rm ${PACKED}`,
      ].join('\n'),
    )
    .join('\n')
}

/** The commands that fill folders of the disk, each a text by itself. @param copies - packed, in base64 */
export function fillFolders(machine: PlacedMachine, copies: Readonly<Record<string, string>>): readonly string[] {
  const fills = Object.entries(copies).flatMap(([folder, base64]) => [
    `rm -f ${PACKED}\n`,
    ...(base64.match(new RegExp(`.{1,${LINE}}`, 'g')) ?? []).map((piece) => `echo ${piece} | base64 -d >>${PACKED}\n`),
    `(cd -P ${folderOf(machine, folder)} && rm -rf -- ..?* .[!.]* * && tar -x -f ${PACKED}) 2>/err || echo status uncopied ${folder} has no room there >&7\n`,
  ])
  return [...fills, `rm -f ${PACKED}; sync; echo status copied >&7\n`]
}
