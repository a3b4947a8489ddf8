// LLVM's disassembler as a filter, for the comparisons of test/: what llvm-mc --disassemble does, but it says how long each
// instruction is, and is done with millions in seconds.
//
//   llvm-disassembler TRIPLE slots < SLOTS    one instruction at the start of each slot of 16 bytes
//   llvm-disassembler TRIPLE sweep < CODE     instruction after instruction; a byte that is none is skipped
//
// For each a byte with its length (0: none), a byte with the length of the mnemonic, and the mnemonic without prefixes.
// Prefixes that LLVM lists as instructions of their own belong to the instruction that follows.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Declared here, so that no headers of LLVM are needed (llvm-c/Disassembler.h).
void LLVMInitializeX86TargetInfo(void);
void LLVMInitializeX86TargetMC(void);
void LLVMInitializeX86Disassembler(void);
void *LLVMCreateDisasm(const char *triple, void *info, int tagType, void *getOpInfo, void *symbolLookUp);
int LLVMSetDisasmOptions(void *context, uint64_t options);
size_t LLVMDisasmInstruction(void *context, uint8_t *bytes, uint64_t size, uint64_t pc, char *text, size_t textSize);

#define OPTION_PRINT_IMM_HEX 2
#define OPTION_ASM_PRINTER_VARIANT 4

static const char *const prefixes[] = {
    "lock", "rep", "repe", "repz", "repne", "repnz", "xacquire", "xrelease", "data16", "data32", "addr16", "addr32",
    "cs", "ds", "es", "fs", "gs", "ss", "rex64", "notrack", "bnd", "{vex}", "{vex2}", "{vex3}", "{evex}", "{rex}", "{rex2}",
    "{nf}"};

static int isPrefix(const char *word, size_t length) {
  for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
    if (strlen(prefixes[i]) == length && memcmp(prefixes[i], word, length) == 0) return 1;
  return length > 4 && memcmp(word, "rex.", 4) == 0;
}

// The first word that is no prefix; *length is 0 if there is none.
static const char *mnemonicOf(const char *text, size_t *length) {
  for (;;) {
    text += strspn(text, " \t");
    *length = strcspn(text, " \t");
    if (*length == 0 || !isPrefix(text, *length)) return text;
    text += *length;
  }
}

static size_t one(void *context, uint8_t *bytes, size_t size) {
  char text[512];
  size_t total = 0;
  for (;;) {
    size_t length = LLVMDisasmInstruction(context, bytes + total, size - total, total, text, sizeof text);
    size_t wordLength = 0;
    const char *word = length == 0 ? "" : mnemonicOf(text, &wordLength);
    total += length;
    if (length != 0 && wordLength == 0 && total < size) continue;
    if (wordLength == 0) total = 0;
    putchar((int)total);
    putchar((int)wordLength);
    fwrite(word, 1, wordLength, stdout);
    return total;
  }
}

int main(int count, char **arguments) {
  if (count != 3) return 2;
  LLVMInitializeX86TargetInfo();
  LLVMInitializeX86TargetMC();
  LLVMInitializeX86Disassembler();
  void *context = LLVMCreateDisasm(arguments[1], NULL, 0, NULL, NULL);
  if (context == NULL) return 3;
  LLVMSetDisasmOptions(context, OPTION_ASM_PRINTER_VARIANT | OPTION_PRINT_IMM_HEX);
  if (strcmp(arguments[2], "slots") == 0) {
    uint8_t slot[16];
    while (fread(slot, sizeof slot, 1, stdin) == 1) one(context, slot, 15);
    return 0;
  }
  size_t size = 0, room = 1 << 20;
  uint8_t *code = malloc(room);
  for (size_t got; (got = fread(code + size, 1, room - size, stdin)) > 0;)
    if ((size += got) == room) code = realloc(code, room *= 2);
  for (size_t at = 0; at < size;) {
    size_t length = one(context, code + at, size - at < 15 ? size - at : 15);
    at += length == 0 ? 1 : length;
  }
  return 0;
}
