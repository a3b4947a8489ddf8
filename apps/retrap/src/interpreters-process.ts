// Makes the files of interpreters, as the last step of the build; with `check`, fails where a machine would not use one.
import { KEPT_ARCHITECTURES, keepInterpreters, loadInterpreters } from '@retrap/linux-guest/machine/interpreters'

for (const architecture of KEPT_ARCHITECTURES) {
  if (process.argv[2] !== 'check') await keepInterpreters(architecture)
  if (!(await loadInterpreters(architecture)))
    throw new Error(`interpreters-${architecture}.br is missing, or of other modules than are installed`)
}
