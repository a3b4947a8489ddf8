/**
 * Loads the instructions that a build of a program for machines leaves out: those that few processors have. Everywhere else
 * there is nothing to load. Such a build has another module in the place of this one: `build/plugins.ts`.
 */
export async function loadLeftOut(): Promise<void> {}
