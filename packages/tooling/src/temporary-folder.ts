import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, onTestFinished, TestRunner } from 'vitest'

/**
 * Makes a folder for temporary files. It is removed at the end of the test that asks for it, or of the file or the suite where
 * no test runs yet.
 *
 * @param name - a part of the folder's name, for somebody who looks through the temporary files of a host
 */
export function temporaryFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `retrap-${name}-`))
  const remove = (): void => rmSync(folder, { recursive: true, force: true })
  if (TestRunner.getCurrentTest() === undefined) afterAll(remove)
  else onTestFinished(remove)
  return folder
}
