import { createPc } from '@retrap/machine'
import { noBrowser, type Page } from '@retrap/tooling/browser'
import { debianMembers } from '@retrap/tooling/debian'
import { madeOnce } from '@retrap/tooling/made-once'
import type { CreateMachine } from '@retrap/linux-guest/machine/machine-contract'
import { debianFilesIn, debianPackages } from '../../src/commands/web/debian-files.ts'
import { makeDebianSystem, SYSTEMS_LIST, systemsList } from '../../src/commands/web/debian-system.ts'

const members = noBrowser === undefined ? await debianMembers(debianPackages('amd64')) : undefined

/** Says why the start page's Debian cannot be tried here; undefined where it can. */
export const noDebian: string | undefined = noBrowser ?? (members === undefined ? 'there is no apt' : undefined)

/** The files that `retrap web --debian` adds to its site for amd64, made by the first test file that asks. */
export const offeredDebian = (): Promise<Map<string, Uint8Array>> =>
  madeOnce('offered-debian', async () => {
    const [kernel, busybox] = members as readonly [string, string]
    const linux = debianFilesIn('amd64', kernel, busybox)
    const { system, files } = await makeDebianSystem(linux, createPc as unknown as CreateMachine)
    return new Map([...files, [SYSTEMS_LIST, systemsList([system])]])
  })

/** The text that the page's terminal shows. */
export const terminalText = async (page: Page): Promise<string> =>
  (await page.evaluate(
    "[...document.querySelectorAll('.xterm-rows > div')].map((row) => row.textContent).join('\\n')",
  )) as string
